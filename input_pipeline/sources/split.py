"""Sources and splits: labeled, encoded photos that can be read in any order."""

import dataclasses
import hashlib
import json
import os
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, cast

import numpy as np
from etils import epath

from efficientnet.errors import UserError
from efficientnet.paths import is_in_bucket

# Bytes at the beginning of a photo, which hold the header even behind a thumbnail, and at its end.
HEAD, TAIL = 2**17, 2**12
BINARY = os.O_RDONLY | getattr(os, "O_BINARY", 0)  # which only Windows has, and needs


class Ends(NamedTuple):
    """The beginning and the end of an encoded photo, which overlap in a small one."""

    head: bytes
    tail: bytes
    size: int  # of the whole, bytes


@dataclasses.dataclass(frozen=True)
class Split:
    """Examples of one split.

    Attributes:
      labels: int32 [n].
      names: n names for reports and errors, such as relative file paths.
      read: index -> encoded photo, or uint8 [height, width, channels]. It can be called from any
        thread, and raises OSError for an unreadable photo.
      stamps: n texts that identify the photos among all data sets and change when a photo changes,
        as far as this can be told without reading it; () if only the names identify them.
      groups: n names of what the photos show, such as one patient each; photos of a group stay on
        one side of every split that is drawn. () if each photo is for itself.
      read_ends: index -> the ends of the encoded photo, or None where a look costs too much; by
        default they come with the whole photo.
    """

    labels: np.ndarray
    names: Sequence[str]
    read: Callable[[int], bytes | np.ndarray]
    stamps: Sequence[str] = ()
    groups: Sequence[str] = ()
    read_ends: Callable[[int], Ends | None] | None = None

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.names):
            raise ValueError(f"{len(self.labels)} labels for {len(self.names)} names")
        if len(self.groups) not in (0, len(self.names)):
            raise ValueError(f"{len(self.groups)} groups for {len(self.names)} names")

    def __len__(self) -> int:
        return len(self.names)

    def take(self, indices: np.ndarray) -> "Split":
        """Returns the examples at `indices`, in that order."""
        chosen = np.asarray(indices, np.int64)
        ends = self.read_ends
        return Split(
            labels=self.labels[chosen],
            names=[self.names[i] for i in chosen],
            read=lambda index: self.read(chosen[index]),
            stamps=[self.stamps[i] for i in chosen] if self.stamps else (),
            groups=[self.groups[i] for i in chosen] if self.groups else (),
            read_ends=ends and (lambda index: ends(chosen[index])),
        )

    def ends(self, index: int) -> Ends | None:
        """Returns the ends of an encoded photo; None where there is nothing to look at."""
        if self.read_ends:
            return self.read_ends(index)
        photo = self.read(index)
        return Ends(photo, photo, len(photo)) if isinstance(photo, bytes) else None

    def fingerprint(self) -> str:
        """Returns a hexadecimal name for a cache, equal for equal examples."""
        return stamp_of(json.dumps([list(self.names), list(self.stamps)]), self.labels.tobytes())


def joined(splits: Sequence[Split]) -> Split:
    """Returns the examples of several splits as one, in their order."""
    places = [(split, index) for split in splits for index in range(len(split))]

    def read(index: int) -> bytes | np.ndarray:
        split, place = places[index]
        return split.read(place)

    def ends(index: int) -> Ends | None:
        split, place = places[index]
        return split.ends(place)

    def texts(field: str) -> Sequence[str]:
        found = [text for split in splits for text in getattr(split, field)]
        return found if len(found) == len(places) else ()

    return Split(
        labels=np.concatenate([split.labels for split in splits]),
        names=texts("names"),
        read=read,
        stamps=texts("stamps"),
        groups=texts("groups"),
        read_ends=ends,
    )


def stamp_of(*parts: str | bytes) -> str:
    """Returns a short digest of several parts."""
    digest = hashlib.blake2b(digest_size=12)
    for part in parts:
        encoded = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set: class names in label order, and splits by name ('train', 'test', ...)."""

    name: str
    class_names: tuple[str, ...]
    splits: Mapping[str, Split]


def from_files(
    directory: epath.Path, names: Sequence[str], labels: Sequence[int], groups: Sequence[str] = ()
) -> Split:
    """Returns a split of files, named by their paths relative to `directory`.

    Raises:
      UserError: a path leaves the directory, a name is not Unicode, or a file is missing.
    """
    refuse_bytes([str(directory), *names])
    for name in names:
        if name.startswith("/") or ".." in name.replace("\\", "/").split("/") or "://" in name:
            raise UserError(
                f"{directory} lists the photo {name!r}: expected a path below that folder, without "
                "'..'"
            )
    found = {name: _existing(directory, name) for name in names}
    missing = [name for name in names if not found[name]]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(names)} photos are missing from {directory}, the first is "
            f"{missing[0]}: complete the directory"
        )
    return from_paths([found[name] for name in names], names, labels, groups)


def _existing(directory: epath.Path, name: str) -> str:
    """Returns the path of a file, or of a link that leads nowhere; '' if there is none.

    Its name in a table may be written as on Windows, or composed where the file's is decomposed.
    """
    composed = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
    paths = (f"{directory}/{form}" for form in (name, name.replace("\\", "/"), *composed))
    return next((path for path in paths if os.path.isfile(path) or os.path.islink(path)), "")


def refuse_bytes(names: Iterable[str]) -> None:
    """Refuses names that can't be shown in plots and pages, such as Latin-1 file names on Linux.

    Raises:
      UserError: a name is not Unicode.
    """
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise UserError(f"the name {name!r} is not in UTF-8: rename it") from None


def from_paths(
    paths: Sequence[str], names: Sequence[str], labels: Sequence[int], groups: Sequence[str] = ()
) -> Split:
    """Returns a split of files anywhere, without any checks."""
    return Split(
        labels=np.asarray(labels, np.int32),
        names=list(names),
        read=lambda index: read_file(paths[index]),
        stamps=[file_stamp(path) for path in paths],
        groups=groups,
        read_ends=lambda index: read_ends(paths[index]),
    )


def file_stamp(path: str) -> str:
    """Identifies a file and, on a disk, its size and the time of its last change.

    In a bucket this is only the path; a replaced object is not noticed.
    """
    if is_in_bucket(path):
        return path
    place = os.path.abspath(path)
    try:
        state = os.stat(place)
    except OSError:  # reading it will raise the error
        return place
    return f"{place} {state.st_size} {state.st_mtime_ns}"


def read_file(path: str, start: int = 0, length: int | None = None) -> bytes:
    """Reads up to `length` bytes from `start`; can be called from any thread."""
    if is_in_bucket(path):
        with epath.Path(path).open("rb") as file:
            file.seek(start)
            return cast(bytes, file.read(-1 if length is None else length))
    # A file object makes more system calls, each of which releases and acquires Python's lock.
    descriptor = os.open(path, BINARY)
    try:
        if length is None:
            length = os.fstat(descriptor).st_size - start
        if start:
            os.lseek(descriptor, start, os.SEEK_SET)
        content = os.read(descriptor, length)
        while len(content) < length and (more := os.read(descriptor, length - len(content))):
            content += more  # a network disk may return less
        return content
    finally:
        os.close(descriptor)


def read_ends(path: str, start: int = 0, length: int | None = None) -> Ends:
    """Reads the ends of what `read_file` would return."""
    size = os.stat(path).st_size - start if length is None else length
    head = read_file(path, start, min(size, HEAD))
    tail = head if size <= HEAD else read_file(path, start + size - TAIL, TAIL)
    return Ends(head, tail, size)


def from_encoded(
    encoded: Sequence[bytes],
    names: Sequence[str],
    labels: Sequence[int],
    groups: Sequence[str] = (),
) -> Split:
    """Returns a split of encoded photos that are held in memory."""
    return Split(
        labels=np.asarray(labels, np.int32),
        names=list(names),
        read=lambda index: encoded[index],
        stamps=[stamp_of(photo) for photo in encoded],
        groups=groups,
    )

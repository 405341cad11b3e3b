"""What a source is: named splits of labeled, encoded photos that can be read in any order."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from etils import epath

from efficientnet.errors import UserError
from efficientnet.paths import is_in_bucket


@dataclasses.dataclass(frozen=True)
class Split:
    """Examples of one split.

    Attributes:
      labels: int32 [n].
      names: n names for reports and errors, such as relative file paths.
      read: index -> encoded photo, or uint8 [height, width, channels]; any thread may call it. What
        can't be read raises OSError.
      stamp: text that changes when a photo does; '' where that can't be told cheaply.
    """

    labels: np.ndarray
    names: Sequence[str]
    read: Callable[[int], bytes | np.ndarray]
    stamp: str = ""

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.names):
            raise ValueError(f"{len(self.labels)} labels for {len(self.names)} names")

    def __len__(self) -> int:
        return len(self.names)

    def take(self, indices: np.ndarray) -> "Split":
        """The examples at `indices`, in that order, numbered anew from 0."""
        chosen = np.asarray(indices, np.int64)
        return Split(
            labels=self.labels[chosen],
            names=[self.names[i] for i in chosen],
            read=lambda index: self.read(chosen[index]),
            stamp=self.stamp and stamp_of(self.stamp, chosen.tobytes()),
        )

    def fingerprint(self) -> str:
        """A name of these very examples for a cache: hexadecimal, equal for equal examples."""
        return stamp_of(self.stamp, json.dumps(list(self.names)), self.labels.tobytes())


def stamp_of(*parts: str | bytes) -> str:
    """A short digest of several parts."""
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


def from_files(directory: epath.Path, names: Sequence[str], labels: Sequence[int]) -> Split:
    """A split of files, named by their paths relative to `directory`.

    Raises:
      UserError: a path leaves the directory, or a file is missing.
    """
    for name in names:
        if name.startswith("/") or ".." in name.split("/") or "://" in name:
            raise UserError(
                f"{directory} lists the photo {name!r}, which is outside of it: expected a path "
                "below it"
            )
    missing = _missing(directory, names)
    if missing:
        raise UserError(
            f"{len(missing)} of {len(names)} photos are missing from {directory}, the first is "
            f"{missing[0]}: complete the directory"
        )
    return from_paths([f"{directory}/{name}" for name in names], names, labels)


def from_paths(paths: Sequence[str], names: Sequence[str], labels: Sequence[int]) -> Split:
    """A split of files, wherever they are; nothing is checked."""
    return Split(
        labels=np.asarray(labels, np.int32),
        names=list(names),
        read=lambda index: _read(paths[index]),
        stamp=_stamp(paths),
    )


def _read(path: str) -> bytes:
    if is_in_bucket(path):
        return epath.Path(path).read_bytes()
    # A file object makes more calls, each of which gives away Python's lock and asks for it again.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(descriptor).st_size
        encoded = os.read(descriptor, size)
        while len(encoded) < size and (more := os.read(descriptor, size - len(encoded))):
            encoded += more  # a network disk may give less at a time
        return encoded
    finally:
        os.close(descriptor)


def _stamp(paths: Sequence[str]) -> str:
    """Sizes and times of files on a disk; '' where one is missing or in a bucket."""
    try:
        states = [os.stat(path) for path in paths]
    except OSError:
        return ""
    return stamp_of(str([(state.st_size, state.st_mtime_ns) for state in states]))


def _missing(directory: epath.Path, names: Sequence[str]) -> list[str]:
    if not is_in_bucket(directory):
        return [name for name in names if not (directory / name).is_file()]
    # To list a folder is one request, to ask for each photo thousands.
    there = {
        f"{folder}{file.name}"
        for folder in {name[: name.rfind("/") + 1] for name in names}
        if (directory / folder).is_dir()
        for file in (directory / folder).iterdir()
    }
    return [name for name in names if name not in there]


def from_encoded(encoded: Sequence[bytes], names: Sequence[str], labels: Sequence[int]) -> Split:
    """A split of encoded photos that are held in memory."""
    return Split(
        labels=np.asarray(labels, np.int32),
        names=list(names),
        read=lambda index: encoded[index],
        stamp=stamp_of(*encoded),
    )


def stratify(
    strata: Sequence[object], names: Sequence[str], fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Splits examples in two, each stratum in proportion (largest remainders make up the total).

    Each stratum keeps one at least, so fewer are chosen where there are many strata of one.

    Which examples go where hangs on a hash of (seed, name), so that neither the order of files
    nor a library's generator changes it.

    Returns:
      Indices of the rest and of the round(fraction * n) chosen at most, each int64 and sorted.
    """
    members: dict[object, list[int]] = {}
    for index, stratum in enumerate(strata):
        members.setdefault(stratum, []).append(index)
    keys = sorted(members, key=str)
    quotas = {key: fraction * len(members[key]) for key in keys}
    counts = {key: int(quotas[key]) for key in keys}
    short = round(fraction * len(strata)) - sum(counts.values())
    able = [key for key in keys if counts[key] + 1 < len(members[key])]
    by_remainder = sorted(able, key=lambda key: counts[key] - quotas[key])
    for key in by_remainder[:short]:
        counts[key] += 1

    def rank(index: int) -> bytes:
        return hashlib.sha256(f"{seed}/{names[index]}".encode("utf-8", "surrogateescape")).digest()

    chosen = [i for key in keys for i in sorted(members[key], key=rank)[: counts[key]]]
    rest = np.setdiff1d(np.arange(len(strata)), chosen)
    return rest.astype(np.int64), np.sort(np.asarray(chosen, np.int64))


def hold_out(split: Split, fraction: float, seed: int = 0) -> tuple[Split, Split]:
    """Sets part of a split aside for validation, in proportion to the classes.

    Returns:
      (train, validation); the same for the same seed, whatever the order of the files.

    Raises:
      UserError: the fraction leaves one side empty.
    """
    if not 0 < fraction < 1:
        raise UserError(f"validation fraction {fraction} is not between 0 and 1: try 0.1")
    rest, chosen = stratify(list(split.labels), split.names, fraction, seed)
    if not len(rest) or not len(chosen):
        raise UserError(
            f"a validation fraction of {fraction} of {len(split)} examples leaves one side empty: "
            "choose another fraction"
        )
    return split.take(rest), split.take(chosen)

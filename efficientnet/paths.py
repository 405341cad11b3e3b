"""Paths of a user's files, on a disk or in a bucket (`gs://`)."""

import contextlib
import functools
import os
import pathlib
import re
import secrets
import unicodedata
from collections.abc import Collection, Iterator
from typing import TypeVar

from etils import epath

from efficientnet.errors import UserError, explained

PathT = TypeVar("PathT", epath.Path, pathlib.Path)

# Codes of TensorStore's error messages that don't mean that a file is damaged.
TENSORSTORE_CODES = re.compile(
    "(ABORTED|CANCELLED|DEADLINE_EXCEEDED|PERMISSION_DENIED|RESOURCE_EXHAUSTED|UNAUTHENTICATED|"
    "UNAVAILABLE): "
)


HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # Unicode's categories of what has no picture
JOINERS = "\u200c\u200d"  # within words of Persian and Hindi, and within emoji


def printable(text: str) -> str:
    """Returns a name as people can read it, in one line; for a program that reads it, see `csv`.

    Line ends, control characters, marks that turn the direction of text, and bytes of a file's name
    that are no text become escapes, such as a backslash and n. Letters of all languages stay.
    """
    if text.isprintable():
        return text
    return "".join(
        letter.encode("unicode_escape").decode()
        if unicodedata.category(letter) in HIDDEN and letter not in JOINERS
        else letter
        for letter in text
    )


def user_path(text: str) -> epath.Path:
    """Returns the path that a user gave, with `~` expanded to the home directory."""
    path = epath.Path(text)
    return path if is_in_bucket(path) else path.expanduser()


def is_in_bucket(path: epath.PathLike) -> bool:
    """Whether a path is in a bucket rather than on a disk."""
    return "://" in str(path)


def absolute(text: str) -> epath.Path:
    """Returns an absolute path without '..', as Orbax needs it; a path in a bucket is unchanged."""
    path = user_path(text)
    return path if is_in_bucket(path) else path.resolve()


def cache_directory() -> pathlib.Path:
    """Returns `EFFICIENTNET_CACHE`, or `efficientnet` in the user's cache directory.

    Raises:
      UserError: `EFFICIENTNET_CACHE` is in a bucket.
    """
    chosen = os.environ.get("EFFICIENTNET_CACHE")
    if chosen and is_in_bucket(chosen):
        raise UserError(
            f"EFFICIENTNET_CACHE={chosen} is in a bucket: expected a folder on this machine; "
            "give weights in a bucket by their path"
        )
    if chosen:
        return pathlib.Path(chosen).expanduser()
    caches = os.environ.get("XDG_CACHE_HOME")
    return (pathlib.Path(caches) if caches else pathlib.Path.home() / ".cache") / "efficientnet"


def make_folder(path: epath.Path) -> None:
    """Makes a folder and its parents, unless they exist.

    Raises:
      UserError: the bucket does not exist; TensorFlow would retry forever.
    """
    if is_in_bucket(path):
        _check_bucket(path)
    path.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def written_whole(path: PathT) -> Iterator[PathT]:
    """Yields a temporary path beside `path`; the file written there replaces it at the end."""
    part = path.with_name(f"{path.name[:40]}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        yield part
        part.replace(path)
    except BaseException:
        with contextlib.suppress(Exception):  # the first error is the one to raise
            part.unlink()
        raise


def write_whole(path: epath.Path, content: bytes) -> None:
    """Writes a file that is never seen half-written; of several writers the last one wins."""
    with written_whole(path) as part:
        part.write_bytes(content)


def check_file(path: pathlib.PurePath, suffixes: Collection[str] = ()) -> None:
    """Checks that a file can be written to a path, before any work is done.

    Args:
      path: of the file, which may exist.
      suffixes: that its name may end in; by default any.

    Raises:
      UserError: it has another suffix, is a folder, or its folder or bucket does not exist.
    """
    if suffixes and path.suffix not in suffixes:
        raise UserError(f"can't write {path}: expected a name ending in {' or '.join(suffixes)}")
    if is_in_bucket(path):
        return _check_bucket(path)
    if os.path.isdir(path):
        raise UserError(f"can't write {path}: it is a folder, expected the name of a file")
    if not os.path.isdir(path.parent):
        raise UserError(f"can't write {path}: there is no folder {path.parent}")


def check_folder(path: pathlib.PurePath) -> None:
    """Checks that a folder can be made at a path.

    Raises:
      UserError: a file is there or in place of a parent, or the bucket does not exist.
    """
    if is_in_bucket(path):
        return _check_bucket(path)
    existing = next(parent for parent in (path, *path.parents) if os.path.exists(parent))
    if not os.path.isdir(existing):
        raise UserError(f"can't write to the folder {path}: {existing} is a file")


def _check_bucket(path: pathlib.PurePath) -> None:
    scheme, _, rest = str(path).partition("://")
    bucket = epath.Path(f"{scheme}://{rest.partition('/')[0]}")
    if not bucket.exists():
        raise UserError(f"can't write to {path}: there is no bucket {bucket}, check its name")


def bytes_of(path: epath.Path) -> int:
    """Returns the size of a file."""
    # On a disk, epath would also look up the name of the owner, which may not exist in a container.
    return path.stat().length if is_in_bucket(path) else os.stat(path).st_size


def unreachable(error: BaseException) -> str | None:
    """Returns a sentence that says which path in a bucket can't be reached and why.

    Returns None for other errors. Those of buckets come from TensorFlow, from etils as an OSError
    without an errno, or from TensorStore; only their text names the path and tells a missing bucket
    or object from a missing permission or network.
    """
    from_bucket = (
        type(error).__module__.startswith("tensorflow")
        or (isinstance(error, OSError) and error.errno is None)
        or (isinstance(error, ValueError) and TENSORSTORE_CODES.match(str(error)) is not None)
    )
    named = re.search(r"gs://[^\s'\"]+", str(error)) if from_bucket else None
    if named is None:
        return None
    reason = " ".join(str(error).split())[:300]
    return (
        f"{named[0].rstrip('.,:;')} can't be reached: check its name, the network, and that you "
        f"are logged in (gcloud auth application-default login) and have access ({reason})"
    )


# Turns the errors that `unreachable` recognizes into a `UserError`.
reaching_buckets = functools.partial(explained, unreachable)

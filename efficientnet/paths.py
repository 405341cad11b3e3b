"""Paths of a user's files, on a disk or in a bucket (`gs://`)."""

import contextlib
import os
import pathlib
import re
import secrets
from collections.abc import Collection, Iterator
from typing import TypeVar

from etils import epath

from efficientnet.errors import UserError

PathT = TypeVar("PathT", epath.Path, pathlib.Path)

# Of the errors with which TensorStore's messages begin, those that leave open what a file holds.
TENSORSTORE_CODES = re.compile(
    "(ABORTED|CANCELLED|DEADLINE_EXCEEDED|PERMISSION_DENIED|RESOURCE_EXHAUSTED|UNAUTHENTICATED|"
    "UNAVAILABLE): "
)


def user_path(text: str) -> epath.Path:
    """Returns the path that a user wrote; `~` stands for the home directory."""
    path = epath.Path(text)
    return path if is_in_bucket(path) else path.expanduser()


def is_in_bucket(path: epath.PathLike) -> bool:
    """Whether a path is not on a disk."""
    return "://" in str(path)


def absolute(text: str) -> epath.Path:
    """The same as Orbax wants it, absolute and without '..'; in a bucket, as it is."""
    path = user_path(text)
    return path if is_in_bucket(path) else path.resolve()


def cache_directory() -> pathlib.Path:
    """`EFFICIENTNET_CACHE`, or `efficientnet` in the user's cache directory.

    Raises:
      UserError: `EFFICIENTNET_CACHE` is a bucket.
    """
    chosen = os.environ.get("EFFICIENTNET_CACHE")
    if chosen and is_in_bucket(chosen):
        raise UserError(
            f"EFFICIENTNET_CACHE={chosen} is in a bucket: expected a folder of this machine; "
            "weights in a bucket are given by their path"
        )
    if chosen:
        return pathlib.Path(chosen).expanduser()
    caches = os.environ.get("XDG_CACHE_HOME")
    return (pathlib.Path(caches) if caches else pathlib.Path.home() / ".cache") / "efficientnet"


def make_folder(path: epath.Path) -> None:
    """Makes a folder and those above it, unless they are there.

    Raises:
      UserError: the bucket is not there, for which TensorFlow would look without end.
    """
    if is_in_bucket(path):
        _check_bucket(path)
    path.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def written_whole(path: PathT) -> Iterator[PathT]:
    """Gives a free name beside a path; the file written there takes its place at the end."""
    part = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        yield part
        part.replace(path)
    except BaseException:
        with contextlib.suppress(Exception):  # what failed first is what to tell
            part.unlink()
        raise


def write_whole(path: epath.Path, content: bytes) -> None:
    """Writes a file so that it is never seen half-written; of several writers the last one wins."""
    with written_whole(path) as part:
        part.write_bytes(content)


def check_file(path: pathlib.PurePath, suffixes: Collection[str] = ()) -> None:
    """Refuses a path that no file can be written to, before the work for it is done.

    Args:
      path: of a file, there or not.
      suffixes: which its name may end in; any, if there are none.

    Raises:
      UserError: it has another suffix, is a folder, or its folder or bucket is not there.
    """
    if suffixes and path.suffix not in suffixes:
        raise UserError(f"can't write {path}: expected a name in {' or '.join(suffixes)}")
    if is_in_bucket(path):
        return _check_bucket(path)
    if os.path.isdir(path):
        raise UserError(f"can't write {path}: it is a folder, expected the name of a file")
    if not os.path.isdir(path.parent):
        raise UserError(f"can't write {path}: there is no folder {path.parent}")


def check_folder(path: pathlib.PurePath) -> None:
    """Refuses a path that no folder can be made at, for a file is there, or in place of a parent.

    Raises:
      UserError: names that file, or a bucket that is not there.
    """
    if is_in_bucket(path):
        return _check_bucket(path)
    there = next(place for place in (path, *path.parents) if os.path.exists(place))
    if not os.path.isdir(there):
        raise UserError(f"can't write to the folder {path}: {there} is a file")


def _check_bucket(path: pathlib.PurePath) -> None:
    scheme, _, rest = str(path).partition("://")
    bucket = epath.Path(f"{scheme}://{rest.partition('/')[0]}")
    if not bucket.exists():
        raise UserError(f"can't write to {path}: there is no bucket {bucket}, check its name")


def bytes_of(path: epath.Path) -> int:
    """The size of a file."""
    # epath would look up the owner's name on a disk, which a container may not know.
    return path.stat().length if is_in_bucket(path) else os.stat(path).st_size


def unreachable(error: BaseException) -> str | None:
    """Says in a sentence which path in a bucket can't be reached, and why; None for other errors.

    They are TensorFlow's, or etils has made an OSError without a number of them, or TensorStore's;
    only their text tells a missing bucket or object from a missing permission or network, and names
    the path.
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
        f"are logged in (gcloud auth application-default login) and permitted ({reason})"
    )


@contextlib.contextmanager
def reaching_buckets() -> Iterator[None]:
    """Turns what `unreachable` knows into a `UserError`."""
    try:
        yield
    except Exception as error:
        sentence = unreachable(error)
        if sentence is None:
            raise
        raise UserError(sentence) from error

"""Paths of a user's files, on a disk or in a bucket (`gs://`)."""

import os

from etils import epath


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


def write_whole(path: epath.Path, content: bytes) -> None:
    """Writes a file so that it is never seen half-written."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)


def bytes_of(path: epath.Path) -> int:
    """The size of a file."""
    # epath would look up the owner's name on a disk, which a container may not know.
    return path.stat().length if is_in_bucket(path) else os.stat(path).st_size

"""Paths of a user's files, on a disk or in a bucket (`gs://`)."""

import os

from etils import epath


def user_path(text: str) -> epath.Path:
    """Returns the path that a user wrote; `~` stands for the home directory."""
    path = epath.Path(text)
    return path if is_in_bucket(path) else path.expanduser()


def is_in_bucket(path: epath.Path) -> bool:
    """Whether a path is not on a disk."""
    return "://" in str(path)


def bytes_of(path: epath.Path) -> int:
    """The size of a file."""
    # epath would look up the owner's name on a disk, which a container may not know.
    return path.stat().length if is_in_bucket(path) else os.stat(path).st_size

"""Paths of a user's files, on a disk or in a bucket (`gs://`)."""

import contextlib
import os
import secrets

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
    """Writes a file so that it is never seen half-written; of several writers the last one wins."""
    part = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except BaseException:
        with contextlib.suppress(Exception):  # what failed first is what to tell
            part.unlink()
        raise


def bytes_of(path: epath.Path) -> int:
    """The size of a file."""
    # epath would look up the owner's name on a disk, which a container may not know.
    return path.stat().length if is_in_bucket(path) else os.stat(path).st_size

"""What every reader returns, and how it gets at a file."""

import contextlib
import dataclasses
import errno
import mmap
import tempfile
from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np
from etils import epath

from efficientnet.errors import UserError
from efficientnet.paths import bytes_of, is_in_bucket, reaching_buckets

READ_BYTES = 1 << 20
UNREADABLE = (errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE)  # whatever is in the file


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor in a file: its shape is known, its values are read and checked on demand."""

    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The tensors of one file by the names they have there."""

    path: epath.Path
    format: str
    tensors: dict[str, Tensor]
    metadata: dict[str, str] = dataclasses.field(default_factory=dict)
    checksummed: bool = False  # whether the format itself detects a flipped bit


@contextlib.contextmanager
def reading(path: epath.Path) -> Iterator[None]:
    """Turns any error of a reader into a `UserError` that names the file.

    The broad `except` is intended: a damaged or hostile file can make a parser fail in any way, and
    the user, who can only fetch the file again, has no use for a traceback.
    """
    try:
        with reaching_buckets():
            yield
    except UserError:
        raise
    except MemoryError as error:
        raise UserError(f"{path} takes more memory than there is: close other programs") from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno in UNREADABLE:
            raise UserError(
                f"{error.filename or path} can't be read ({error.strerror}): check its permissions "
                "and the disk"
            ) from error
        reason = f"{type(error).__name__}: {error}".split("\n")[0][:200]
        raise UserError(
            f"{path} is damaged, incomplete, or written in a way not known here ({reason}): fetch "
            "it or save it again"
        ) from error


@contextlib.contextmanager
def on_disk(path: epath.Path) -> Iterator[epath.Path]:
    """Gives the path of a file on this machine: a temporary copy if the file is in a bucket."""
    if not is_in_bucket(path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        yield path.copy(epath.Path(folder) / path.name)


def map_file(path: epath.Path) -> mmap.mmap:
    """Maps a file, or a copy of one in a bucket, read-only; arrays that view it keep the map."""
    with on_disk(path) as local, local.open("rb") as file:
        if bytes_of(local) == 0:
            raise UserError(f"{path} is empty: fetch it again")
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def in_memory(stream: BinaryIO, size: int) -> mmap.mmap:
    """Reads a stream into memory, which is only taken up as far as the stream goes.

    Raises:
      EOFError: there are fewer bytes than `size`.
    """
    memory = mmap.mmap(-1, size or 1)
    while memory.tell() < size:
        chunk = stream.read(min(READ_BYTES, size - memory.tell()))
        if not chunk:
            raise EOFError(f"{size} bytes were announced and {memory.tell()} came")
        memory.write(chunk)
    memory.seek(0)
    return memory

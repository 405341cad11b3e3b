"""What every reader returns, and the one place where trouble with a file becomes a sentence."""

import contextlib
import dataclasses
import mmap
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

import numpy as np
from etils import epath

from efficientnet.errors import UserError
from efficientnet.paths import bytes_of, is_in_bucket, reaching_buckets

READ_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor in a file: its shape is known, its values are read (and checked) when asked for."""

    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The tensors of one file by the names they have there."""

    path: epath.Path
    format: str
    tensors: dict[str, Tensor]
    metadata: dict[str, str] = dataclasses.field(default_factory=dict)
    checksummed: bool = False  # whether the format itself tells a flipped bit


@contextlib.contextmanager
def reading(path: epath.Path) -> Iterator[None]:
    """Turns whatever a reader trips over into a `UserError` that names the file.

    The broad `except` is meant: a damaged or hostile file can make a parser fail in any way, and
    none of them is worth a traceback to somebody who has to fetch the file again.
    """
    try:
        with reaching_buckets():
            yield
    except UserError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".split("\n")[0][:200]
        raise UserError(f"{path} is damaged or incomplete ({reason}): fetch it again") from error


def map_file(path: epath.Path) -> mmap.mmap:
    """Maps a file read-only, or fetches it into memory from a bucket.

    The map lives as long as the arrays that look into it.
    """
    with path.open("rb") as file:
        size = bytes_of(path)
        if size == 0:
            raise UserError(f"{path} is empty: fetch it again")
        if is_in_bucket(path):
            return in_memory(cast(BinaryIO, file), size)
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def in_memory(stream: BinaryIO, size: int) -> mmap.mmap:
    """Reads a stream into memory that is only taken up as far as the stream goes.

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

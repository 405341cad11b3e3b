"""What every reader returns, and the one place where trouble with a file becomes a sentence."""

import contextlib
import dataclasses
import mmap
import pathlib
from collections.abc import Callable, Iterator

import numpy as np

from efficientnet.errors import UserError


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor in a file: its shape is known, its values are read (and checked) when asked for."""

    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The tensors of one file by the names they have there."""

    path: pathlib.Path
    format: str
    tensors: dict[str, Tensor]
    metadata: dict[str, str] = dataclasses.field(default_factory=dict)
    checksummed: bool = False  # whether the format itself tells a flipped bit


@contextlib.contextmanager
def reading(path: pathlib.Path) -> Iterator[None]:
    """Turns whatever a reader trips over into a `UserError` that names the file.

    The broad `except` is meant: a damaged or hostile file can make a parser fail in any way, and
    none of them is worth a traceback to somebody who has to fetch the file again.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".split("\n")[0][:200]
        raise UserError(f"{path} is damaged or incomplete ({reason}): fetch it again") from error


def map_file(path: pathlib.Path) -> mmap.mmap:
    """Maps a file read-only; the map lives as long as the arrays that look into it."""
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            raise UserError(f"{path} is empty: fetch it again")
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

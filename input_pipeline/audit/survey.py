"""Reading every photo of a split once, including unreadable ones."""

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from input_pipeline.decode import UNREADABLE, in_one_line
from input_pipeline.sources.split import Split

# Photos read ahead; their results are held in memory.
TOGETHER = 64

Result = TypeVar("Result")


def survey(
    split: Split, indices: Sequence[int], transform: Callable[[bytes], Result]
) -> Iterator[tuple[int, Result | None, str]]:
    """Reads examples and transforms the encoded photos, several at a time.

    Args:
      split: what to read.
      indices: of the examples.
      transform: encoded photo -> result; raises if the photo can't be decoded.

    Yields:
      (index, result, '') or (index, None, why it can't be read), in the given order.
    """
    one = functools.partial(_one, split, transform)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for first in range(0, len(indices), TOGETHER):
            yield from threads.map(one, indices[first : first + TOGETHER])


def _one(
    split: Split, transform: Callable[[bytes], Result], index: int
) -> tuple[int, Result | None, str]:
    try:
        encoded = split.read(index)
        assert isinstance(encoded, bytes)
        return index, transform(encoded), ""
    except UNREADABLE as error:
        return index, None, in_one_line(error)

"""Every photo of a split once, those that can't be read among them."""

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from input_pipeline.loader import UNREADABLE, in_one_line
from input_pipeline.sources.split import Split

# Photos that are read before any of them is given: results are held in memory.
TOGETHER = 64


def survey(
    split: Split, indices: Sequence[int], transform: Callable[[bytes], bytes]
) -> Iterator[tuple[int, bytes, str]]:
    """Reads examples and transforms what is encoded there, several at a time.

    Args:
      split: what to read.
      indices: of the examples.
      transform: encoded photo -> what to keep; fails where the photo can't be decoded.

    Yields:
      (index, transformed, '') or (index, b'', why it can't be read), in the order given.
    """
    one = functools.partial(_one, split, transform)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for first in range(0, len(indices), TOGETHER):
            yield from threads.map(one, indices[first : first + TOGETHER])


def _one(split: Split, transform: Callable[[bytes], bytes], index: int) -> tuple[int, bytes, str]:
    try:
        encoded = split.read(index)
        assert isinstance(encoded, bytes)
        return index, transform(encoded), ""
    except UNREADABLE as error:
        return index, b"", in_one_line(error)

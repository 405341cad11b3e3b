"""Reading every photo of a split once, including unreadable ones."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from input_pipeline.decode import UNREADABLE, in_one_line
from input_pipeline.sources.split import Split

# Photos read ahead; their results are held in memory.
TOGETHER = 64

Result = TypeVar("Result")


def survey(
    split: Split, transform: Callable[[bytes], Result]
) -> Iterator[tuple[Result | None, str]]:
    """Reads all examples in order and transforms the encoded photos, several at a time.

    Args:
      split: what to read.
      transform: encoded photo -> result; raises if the photo can't be decoded.

    Yields:
      (result, '') or (None, why it can't be read).
    """

    def one(index: int) -> tuple[Result | None, str]:
        try:
            encoded = split.read(index)
            assert isinstance(encoded, bytes)
            return transform(encoded), ""
        except UNREADABLE as error:
            return None, in_one_line(error)

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for first in range(0, len(split), TOGETHER):
            yield from threads.map(one, range(len(split))[first : first + TOGETHER])

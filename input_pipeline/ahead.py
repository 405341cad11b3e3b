"""Work in threads, ahead of its use, with the results in order."""

import collections
import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int, ahead: int
) -> Iterator[Result]:
    """Yields function(item) of each item in order.

    Threads share out the work well where the function spends its time in libraries that let go of
    Python's lock, as decoders and OpenCV do.

    Args:
      function: what to do; its errors are raised when their turn comes.
      items: taken by the thread that asks for results.
      threads: how many work at a time.
      ahead: how many items are begun before their results are asked for.
    """
    left = iter(items)
    pool = ThreadPoolExecutor(threads, "input")
    try:
        futures = collections.deque(pool.submit(function, i) for i in itertools.islice(left, ahead))
        while futures:
            result = futures.popleft().result()
            futures.extend(pool.submit(function, item) for item in itertools.islice(left, 1))
            yield result
    finally:
        # Whoever drops the iterator, which may be one of the threads, need not wait for them.
        pool.shutdown(wait=False, cancel_futures=True)

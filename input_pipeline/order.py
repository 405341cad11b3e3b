"""Which examples stand in which batch, and what each draws: functions of seed and step alone."""

import dataclasses
import functools
from collections.abc import Callable, Iterator

import numpy as np

from efficientnet.errors import UserError

# SplitMix64's, the golden ratio.
STEP = np.uint64(0x9E3779B97F4A7C15)

# What draws are a function of: a run's seed, and the number of an example in an epoch.
Seed = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Rows:
    """The examples of a process's part of a batch."""

    index: np.ndarray  # int64 [b], of the example in the split
    mask: np.ndarray  # bool [b], False for padding
    epoch: np.ndarray  # int64 [b]


def train_rows(
    total: int, batch_size: int, seed: int, process_index: int, process_count: int
) -> Callable[[int], Rows]:
    """Which of `total` examples stand in a process's part of a training step.

    Raises:
      UserError: there is none, or the batch can't be shared equally.
    """
    local = local_batch_size(batch_size, process_count)
    if not total:
        raise UserError("there is no example to train on: the split is empty")

    def rows_of(step: int) -> Rows:
        first = step * batch_size + process_index * local
        epochs, offsets = np.divmod(np.arange(first, first + local, dtype=np.int64), total)
        return Rows(shuffled(offsets, epochs, total, seed), np.ones(local, bool), epochs)

    return rows_of


def eval_rows(
    total: int, batch_size: int, process_index: int, process_count: int
) -> Iterator[Rows]:
    """Yields a process's part of each batch of `total` examples in order; the last is padded."""
    local = local_batch_size(batch_size, process_count)
    for first in range(process_index * local, -(-total // batch_size) * batch_size, batch_size):
        positions = np.arange(first, first + local, dtype=np.int64)
        # Padding repeats the last example only to keep shapes.
        index = np.minimum(positions, total - 1)
        yield Rows(index, positions < total, np.zeros_like(index))


def shuffled(offsets: np.ndarray, epochs: np.ndarray, total: int, seed: int) -> np.ndarray:
    """Which example stands at each offset of each epoch's permutation of `total` examples.

    Args:
      offsets: int64 [b], 0 <= offset < total.
      epochs: int64 [b].
      total: number of examples.
      seed: fixes the permutations of all epochs.

    Returns:
      int64 [b].
    """
    index = np.empty_like(offsets)
    for epoch in np.unique(epochs):
        there = epochs == epoch
        index[there] = _permutation(total, seed, int(epoch))[offsets[there]]
    return index


# Batches follow each other, and few span more epochs.
@functools.lru_cache(maxsize=4)
def _permutation(total: int, seed: int, epoch: int) -> np.ndarray:
    # Negative numbers are no example's.
    return generator(seed, -1 - epoch).permutation(total)


def generator(seed: int, number: int) -> np.random.Generator:
    """Random numbers that are a function of two numbers of up to 64 bits."""
    return np.random.Generator(
        np.random.Philox(key=np.array([seed, number], np.int64).view(np.uint64))
    )


def numbers_of(epoch: np.ndarray, index: np.ndarray) -> np.ndarray:
    """One number for each example in each epoch: int64 of the same shape."""
    return epoch * 2**32 + index


def uniform(seed: int, numbers: np.ndarray, count: int) -> np.ndarray:
    """Numbers in [0, 1), of which each row is a function of the seed and one number.

    A stream of SplitMix64 (Steele et al. 2014) for each row, all of them at once: to make a
    generator of NumPy's for each takes longer than to read a photo.

    Args:
      seed: of up to 64 bits.
      numbers: int64 [n].
      count: of each row.

    Returns:
      float32 [n, count], multiples of 2^-24.
    """
    key = _mixed(np.array([seed], np.int64).view(np.uint64))
    starts = _mixed(key + numbers.astype(np.int64).view(np.uint64))
    drawn = _mixed(starts[:, None] + STEP * np.arange(1, count + 1, dtype=np.uint64))
    return (drawn >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)


def _mixed(values: np.ndarray) -> np.ndarray:
    """SplitMix64's bijection of uint64, in which every bit hangs on every other."""
    values = (values ^ values >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ values >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return values ^ values >> np.uint64(31)


def local_batch_size(batch_size: int, process_count: int) -> int:
    """Each process's equal part of a batch.

    Raises:
      UserError: there is none.
    """
    if batch_size < 1 or batch_size % process_count:
        raise UserError(
            f"batch size {batch_size} can't be shared equally by {process_count} processes: "
            f"use a positive multiple of {process_count}"
        )
    return batch_size // process_count

"""Which examples stand in which batch, and what each draws: functions of seed and step alone."""

import dataclasses
import functools

import numpy as np

from efficientnet.errors import UserError

# SplitMix64's, the golden ratio.
STEP = np.uint64(0x9E3779B97F4A7C15)

# What draws are a function of: a run's seed, and the number of an example in an epoch.
Seed = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Rows:
    """Examples that follow each other in a process's part of the batches."""

    index: np.ndarray  # int64 [n], of the example in the split
    mask: np.ndarray  # bool [n], False for padding
    epoch: np.ndarray  # int64 [n]


@dataclasses.dataclass(frozen=True)
class Order:
    """Which example stands where in the batches, and in a process's equal part of each.

    Step s covers positions [s * batch_size, (s + 1) * batch_size) of the concatenation of one
    permutation of the examples an epoch; without a seed, of the examples once in their own order,
    after which the last is repeated as padding.

    Attributes:
      total: number of examples.
      batch_size: of the global batch.
      seed: fixes the permutations of all epochs; None for evaluation.
      process_index: which part of the batch.
      process_count: of how many.
    """

    total: int
    batch_size: int
    seed: int | None
    process_index: int = 0
    process_count: int = 1

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.batch_size % self.process_count:
            raise UserError(
                f"batch size {self.batch_size} can't be shared equally by {self.process_count} "
                f"processes: use a positive multiple of {self.process_count}"
            )
        if not self.total and self.seed is not None:
            raise UserError("there is no example to train on: the split is empty")

    @property
    def local(self) -> int:
        """Examples of a batch that are this process's."""
        return self.batch_size // self.process_count

    @property
    def steps(self) -> range:
        """The steps of an evaluation: every process takes as many."""
        return range(-(-self.total // self.batch_size))

    def rows(self, first: int, count: int) -> Rows:
        """The process's examples from number `first` on, counted over all batches."""
        steps, places = np.divmod(np.arange(first, first + count, dtype=np.int64), self.local)
        positions = steps * self.batch_size + self.process_index * self.local + places
        if self.seed is None:
            # Padding repeats the last example only to keep shapes.
            index = np.minimum(positions, self.total - 1)
            return Rows(index, positions < self.total, np.zeros_like(index))
        epochs, offsets = np.divmod(positions, self.total)
        index = shuffled(offsets, epochs, self.total, self.seed)
        return Rows(index, np.ones(count, bool), epochs)

    def batch(self, step: int) -> Rows:
        """The process's part of one batch."""
        return self.rows(step * self.local, self.local)


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

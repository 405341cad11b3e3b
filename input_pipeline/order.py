"""Which examples are in which batch, and their random numbers: functions of seed and step only."""

import dataclasses
import functools

import numpy as np

from efficientnet.errors import UserError

# SplitMix64's, the golden ratio.
STEP = np.uint64(0x9E3779B97F4A7C15)

# What random numbers depend on: the run's seed, and the number of an example in an epoch.
Seed = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Rows:
    """Consecutive examples in a process's part of the batches."""

    index: np.ndarray  # int64 [n], of the example in the split
    mask: np.ndarray  # bool [n], False for padding
    epoch: np.ndarray  # int64 [n]


@dataclasses.dataclass(frozen=True)
class Order:
    """The order of the examples in batches, and in a process's equal part of each batch.

    Step s covers positions [s * batch_size, (s + 1) * batch_size) of the concatenation of one
    permutation of the examples per epoch, perhaps without those that make no whole batch; without a
    seed, of the examples once in their own order, after which the last one is repeated as padding.

    Attributes:
      total: number of examples.
      batch_size: of the global batch.
      seed: determines the permutations of all epochs; None for evaluation.
      process_index: which part of the batch, from 0.
      process_count: number of parts.
      drop_remainder: whether every epoch is cut to whole batches; not without a seed.
    """

    total: int
    batch_size: int
    seed: int | None
    process_index: int = 0
    process_count: int = 1
    drop_remainder: bool = False

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.batch_size % self.process_count:
            raise UserError(
                f"batch size {self.batch_size} can't be shared equally by {self.process_count} "
                f"processes: use a positive multiple of {self.process_count}"
            )
        if not self.total and self.seed is not None:
            raise UserError("there is no example to train on: the split is empty")
        if self.drop_remainder and self.seed is not None and self.total < self.batch_size:
            raise UserError(
                f"no whole batch is left of {self.total} photos to train on: use a batch size "
                f"below {self.batch_size}, or don't drop the remainder"
            )

    @property
    def local(self) -> int:
        """Number of examples in this process's part of a batch."""
        return self.batch_size // self.process_count

    @property
    def steps(self) -> range:
        """The steps of an evaluation, equally many in every process."""
        return range(-(-self.total // self.batch_size))

    def batch(self, step: int) -> Rows:
        """This process's part of one batch."""
        first = step * self.batch_size + self.process_index * self.local
        positions = np.arange(first, first + self.local, dtype=np.int64)
        if self.seed is None:
            # Padding repeats the last example, to keep the shape.
            index = np.minimum(positions, self.total - 1)
            return Rows(index, positions < self.total, np.zeros_like(index))
        remainder = self.total % self.batch_size if self.drop_remainder else 0
        epochs, offsets = np.divmod(positions, self.total - remainder)
        index = np.empty_like(positions)
        for epoch in np.unique(epochs):
            there = epochs == epoch
            index[there] = _permutation(self.total, self.seed, int(epoch))[offsets[there]]
        return Rows(index, np.ones(self.local, bool), epochs)


# Batches are consecutive, and few span more epochs.
@functools.lru_cache(maxsize=4)
def _permutation(total: int, seed: int, epoch: int) -> np.ndarray:
    # No example has a negative number.
    return generator(seed, -1 - epoch).permutation(total)


def generator(seed: int, number: int) -> np.random.Generator:
    """A generator seeded by two numbers of up to 64 bits."""
    return np.random.Generator(
        np.random.Philox(key=np.array([seed, number], np.int64).view(np.uint64))
    )


def numbers_of(epoch: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Returns a unique number for each example in each epoch: int64 of the same shape."""
    return epoch * 2**32 + index


def uniform(seed: int, numbers: np.ndarray, count: int) -> np.ndarray:
    """Returns random numbers in [0, 1); each row is a function of the seed and one number.

    They come from one stream of SplitMix64 (Steele et al. 2014) per row, all computed at once:
    creating a NumPy generator for each row would take longer than reading a photo.

    Args:
      seed: of up to 64 bits.
      numbers: int64 [n].
      count: per row.

    Returns:
      float32 [n, count], multiples of 2^-24.
    """
    key = _mixed(np.array([seed], np.int64).view(np.uint64))
    starts = _mixed(key + numbers.astype(np.int64).view(np.uint64))
    drawn = _mixed(starts[:, None] + STEP * np.arange(1, count + 1, dtype=np.uint64))
    return (drawn >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)


def _mixed(values: np.ndarray) -> np.ndarray:
    """SplitMix64's bijection of uint64, in which every bit depends on all others."""
    values = (values ^ values >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ values >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return values ^ values >> np.uint64(31)

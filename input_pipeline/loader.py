"""From a split to batches: tf.data reads, decodes and augments the examples, in order."""

import atexit
import dataclasses
import functools
import logging
import math
import os
import re
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np

from efficientnet.errors import UserError
from input_pipeline.augment.augmentation import Augmentation, without_chance
from input_pipeline.order import Order, numbers_of, uniform
from input_pipeline.quiet_tensorflow import tf
from input_pipeline.sources.split import Split

log = logging.getLogger(__name__)

Batch = dict[str, np.ndarray]

# Batches that are prepared ahead.
PREFETCH = 2
# Maximum number of examples that a thread prepares in one call.
PART = 32
# TensorFlow copies arrays that begin elsewhere than at a multiple of so many bytes.
ALIGNMENT = 64

# The errors of a split's `read` and of the decoder.
UNREADABLE = (OSError, tf.errors.OpError)


class ExampleSpec(NamedTuple):
    """Shape and type of one example's 'image'."""

    shape: tuple[int, ...]
    dtype: type[np.generic]


class BatchSource(Protocol):
    """The source of batches for training: photos, or features computed from them.

    A batch is a dict of 'image' (the network's input), 'label' int32 [b], 'index' int64 [b] (of the
    example in its split) and 'mask' bool [b], False for examples that don't count.
    """

    @property
    def skipped(self) -> list[str]:
        """Names of the training photos found to be unreadable so far."""

    @property
    def example(self) -> ExampleSpec:
        """Shape and type of 'image' for each example."""

    def train(self, start_step: int, num_steps: int) -> Iterable[Batch]:
        """Returns this process's part of the batches for steps, which count over all stages."""

    def evaluate(self, split: Split) -> Iterable[Batch]:
        """Returns its part of the batches of a split: every example once, the last one padded."""


@dataclasses.dataclass(frozen=True)
class Loader:
    """Makes batches of photos: a `BatchSource`.

    'image' is uint8 [b, resolution, resolution, channels]. 'mask' is False for padding and for
    unreadable photos. The latter get the pixels of the next readable photo of the split, so that
    the batch statistics of BatchNorm are those of photos.

    Attributes:
      split: to train on.
      batch_size: of the global batch; each process gets an equal part.
      resolution: height and width of the images, pixels.
      channels: 3, or 1 for gray.
      augment: for training, see `spec.parse`; '' only resizes.
      preprocess: for evaluation, a specification without randomness.
      seed: of order and augmentations.
      process_index: which part of the global batch, from 0.
      process_count: number of parts.
      threads: number of threads that prepare examples, by default the number of cores.
      broken_limit: how many unreadable training photos may be skipped.
      skipped: names of the skipped photos, in the order in which they were found.
    """

    split: Split
    _: dataclasses.KW_ONLY
    batch_size: int
    resolution: int
    channels: int = 3
    augment: str = ""
    preprocess: str = "resize"
    seed: int = 0
    process_index: int = 0
    process_count: int = 1
    threads: int | None = None
    broken_limit: int = 0
    skipped: list[str] = dataclasses.field(default_factory=list)

    @property
    def example(self) -> ExampleSpec:
        """See `BatchSource`."""
        return ExampleSpec((self.resolution, self.resolution, self.channels), np.uint8)

    def train(self, start_step: int, num_steps: int) -> Iterator[Batch]:
        """Yields the batches of `train_dataset` as NumPy arrays."""
        return as_numpy(self.train_dataset(start_step, num_steps))

    def evaluate(self, split: Split, broken_limit: int = 0) -> Iterator[Batch]:
        """Yields the batches of `eval_dataset` as NumPy arrays."""
        return as_numpy(self.eval_dataset(split, broken_limit))

    def train_dataset(self, start_step: int, num_steps: int) -> tf.data.Dataset:
        """Returns shuffled and augmented batches, see `train_batches`."""
        augmentation = Augmentation(self.augment, self.resolution, self.channels)
        order = self._order(self.split, self.seed)
        steps = range(start_step, start_step + num_steps)
        return self.dataset(self.split, order, steps, augmentation, self.broken_limit)

    def eval_dataset(self, split: Split, broken_limit: int = 0) -> tf.data.Dataset:
        """Returns every example of a split once, see `eval_batches`."""
        augmentation = without_chance(self.preprocess, self.resolution, self.channels)
        order = self._order(split, None)
        return self.dataset(split, order, order.steps, augmentation, broken_limit)

    def _order(self, split: Split, seed: int | None) -> Order:
        return Order(len(split), self.batch_size, seed, self.process_index, self.process_count)

    def dataset(
        self,
        split: Split,
        order: Order,
        steps: range,
        augmentation: Augmentation,
        broken_limit: int = 0,
    ) -> tf.data.Dataset:
        """Returns batches of augmented photos in a given order."""
        reader = _Reader(split, order, augmentation, broken_limit + 2)
        threads = self.threads or os.cpu_count() or 1
        size = -(-order.local // -(-order.local // PART))  # equal parts of a batch
        last = steps.stop * order.local

        def part(first: tf.Tensor) -> dict[str, tf.Tensor]:
            return _call(reader.part, [first, tf.minimum(last - first, size)], reader.spec)

        def checked(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            problem = batch.pop("problem")
            spec = {"mask": tf.TensorSpec([order.local], tf.bool)}
            check = functools.partial(self._check, split, broken_limit)
            return batch | _call(check, [batch["index"], batch["mask"], problem], spec)

        options = tf.data.Options()
        options.autotune.enabled = False
        options.threading.private_threadpool_size = threads
        options.threading.max_intra_op_parallelism = 1
        as_it_is = tf.autograph.experimental.do_not_convert
        parts = tf.data.Dataset.range(steps.start * order.local, last, size).map(
            as_it_is(part),
            num_parallel_calls=2 * threads,  # so that no thread waits until results are taken
            deterministic=True,
        )
        batches = parts if size == order.local else parts.rebatch(order.local, drop_remainder=True)
        return batches.map(as_it_is(checked)).prefetch(PREFETCH).with_options(options)

    def _check(
        self, split: Split, limit: int, index: np.ndarray, mask: np.ndarray, problem: np.ndarray
    ) -> tuple[np.ndarray]:
        """Records the unreadable photos of a batch; raises if there are too many."""
        for place in np.flatnonzero(problem != b"").tolist():
            name = split.names[index[place]]
            if limit and name in self.skipped:
                continue
            reason = problem[place].decode()
            if len(self.skipped) >= limit:
                beyond = f", and {limit} were skipped before" if limit else ""
                raise UserError(
                    f"{name} is not a readable photo{beyond}: replace or remove it ({reason})"
                )
            log.warning("skipping %s, which is not a readable photo (%s)", name, reason)
            self.skipped.append(name)
        return (mask & (problem == b""),)


@dataclasses.dataclass(frozen=True)
class _Reader:
    """Reads and augments the examples of an order, several in one call."""

    split: Split
    order: Order
    augmentation: Augmentation
    attempts: int  # how many photos in a row are tried in place of an unreadable one

    @property
    def spec(self) -> dict[str, tf.TensorSpec]:
        """The types of what `part` returns."""
        return {
            "image": tf.TensorSpec([None, *self._shape], tf.uint8),
            "label": tf.TensorSpec([None], tf.int32),
            "index": tf.TensorSpec([None], tf.int64),
            "mask": tf.TensorSpec([None], tf.bool),
            "problem": tf.TensorSpec([None], tf.string),  # why it is unreadable; '' if it is not
        }

    @property
    def _shape(self) -> tuple[int, ...]:
        side = self.augmentation.resolution
        return side, side, self.augmentation.channels

    def part(self, first: np.int64, count: np.int64) -> tuple[np.ndarray, ...]:
        """Returns `count` examples from number `first` on."""
        rows = self.order.rows(int(first), int(count))
        numbers = numbers_of(rows.epoch, rows.index)
        seed = self.order.seed or 0
        draws = uniform(seed, numbers, self.augmentation.draws)
        images = _aligned((int(count), *self._shape))
        problems = np.full(count, b"", object)
        for place, (index, number, drawn) in enumerate(
            zip(rows.index.tolist(), numbers.tolist(), draws.tolist(), strict=True)
        ):
            images[place], problems[place] = self._image(index, drawn, (seed, number))
        return images, self.split.labels[rows.index], rows.index, rows.mask, problems

    def _image(
        self, index: int, draws: list[float], seed: tuple[int, int]
    ) -> tuple[np.ndarray | int, bytes]:
        problem = b""
        for other in range(index, index + self.attempts):
            try:
                photo = self.split.read(other % len(self.split))
                return self.augmentation(photo, draws, seed), problem
            except UNREADABLE as error:
                problem = problem or in_one_line(error).encode()
        return 0, problem  # its batch is never returned


def _aligned(shape: tuple[int, ...]) -> np.ndarray:
    """An empty uint8 array that TensorFlow takes as it is."""
    size = math.prod(shape)
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].reshape(shape)


def _call(
    function: Callable[..., Any], arguments: list[tf.Tensor], spec: dict[str, tf.TensorSpec]
) -> dict[str, tf.Tensor]:
    """Calls a function on NumPy arrays inside tf.data."""
    results = tf.numpy_function(function, arguments, [of.dtype for of in spec.values()])
    for result, of in zip(results, spec.values(), strict=True):
        result.set_shape(of.shape)
    return dict(zip(spec, results, strict=True))


def as_numpy(batches: tf.data.Dataset) -> Iterator[Batch]:
    """Yields a dataset's batches as NumPy arrays, and restores the type of its errors.

    Raises:
      UserError: a photo of the next batch is unreadable.
    """
    iterator = _as_numpy(batches)
    _UNFINISHED.add(iterator)
    return iterator


# tf.data waits for its calls of Python, which an interpreter that ends no longer lets run.
_UNFINISHED: "weakref.WeakSet[Generator[Batch, None, None]]" = weakref.WeakSet()


@atexit.register
def _close() -> None:
    for iterator in list(_UNFINISHED):
        iterator.close()


def _as_numpy(batches: tf.data.Dataset) -> Generator[Batch, None, None]:
    try:
        yield from batches.as_numpy_iterator()
    except tf.errors.OpError as error:
        # tf.data keeps only the text of a Python error.
        sentence = re.search("UserError: (.*?)\nTraceback", error.message, re.DOTALL)
        if sentence is None:
            raise
        raise UserError(sentence[1]) from None


def in_one_line(error: Exception) -> str:
    """Returns in one line why a photo can't be read or decoded."""
    message = error.message if isinstance(error, tf.errors.OpError) else str(error)
    message = message.replace("}} ", "}}").split("}}")[-1].split("[Op:")[0]
    return " ".join(message.split())[:200]


def train_batches(
    split: Split, *, num_steps: int, start_step: int = 0, **settings: Any
) -> tf.data.Dataset:
    """Returns shuffled and augmented batches for num_steps steps from start_step on.

    Step s covers positions [s * batch_size, (s + 1) * batch_size) of the concatenation of one
    permutation of the split per epoch. Every example occurs once per epoch, a batch may span the
    end of one epoch and the beginning of the next, and any step is found in constant time.

    Args:
      split: to read.
      num_steps: number of batches.
      start_step: the first step, 0 for a new run.
      settings: batch_size, resolution and the other attributes of a `Loader`.

    Returns:
      A dataset of dicts, see `Loader`; use `as_numpy` to iterate over it, so that an unreadable
      photo raises a `UserError`.

    Raises:
      UserError: a wrong specification or an empty split.
    """
    return Loader(split, **settings).train_dataset(start_step, num_steps)


def eval_batches(split: Split, *, broken_limit: int = 0, **settings: Any) -> tf.data.Dataset:
    """Returns every example once and in order; the last batch is padded, with mask False.

    Global batch s covers examples [s * batch_size, (s + 1) * batch_size), so every process has
    the same number of batches.

    Args:
      split: to read.
      broken_limit: how many unreadable photos may be skipped.
      settings: batch_size, resolution and the other attributes of a `Loader`.

    Returns:
      A dataset of dicts, see `train_batches`.

    Raises:
      UserError: a wrong or random specification.
    """
    return Loader(split, **settings).eval_dataset(split, broken_limit)

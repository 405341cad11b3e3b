"""From a split to batches: tf.data reads, decodes and augments the examples, in order."""

import atexit
import dataclasses
import functools
import itertools
import logging
import math
import mmap
import os
import re
import threading
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np

from efficientnet.errors import UserError
from input_pipeline.augment.augmentation import Augmentation, without_chance
from input_pipeline.order import Order, Rows, numbers_of, uniform
from input_pipeline.quiet_tensorflow import tf
from input_pipeline.sources.split import Split

log = logging.getLogger(__name__)

Batch = dict[str, np.ndarray]

# Batches that are prepared ahead.
PREFETCH = 2
# Maximum number of examples that a thread prepares in one call.
PART = 32
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
        """Names of the photos found to be unreadable so far, in any split."""

    @property
    def refused(self) -> list[str]:
        """Names of those that were one too many, and have raised an error."""

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
      drop_remainder: whether to cut epochs of training to whole batches.
      threads: number of threads that prepare examples, by default the number of cores.
      broken_limit: how many unreadable photos may be skipped, of all splits together.
      skipped: names of the skipped photos, in the order in which they were found.
      refused: names of those that were one too many.
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
    drop_remainder: bool = False
    threads: int | None = None
    broken_limit: int = 0
    skipped: list[str] = dataclasses.field(default_factory=list)
    refused: list[str] = dataclasses.field(default_factory=list)

    @property
    def example(self) -> ExampleSpec:
        """See `BatchSource`."""
        return ExampleSpec((self.resolution, self.resolution, self.channels), np.uint8)

    def train(self, start_step: int, num_steps: int) -> Iterator[Batch]:
        """Yields the batches of `train_dataset` as NumPy arrays."""
        return as_numpy(self.train_dataset(start_step, num_steps))

    def evaluate(self, split: Split) -> Iterator[Batch]:
        """Yields the batches of `eval_dataset` as NumPy arrays."""
        return as_numpy(self.eval_dataset(split))

    def train_dataset(self, start_step: int, num_steps: int) -> tf.data.Dataset:
        """Returns shuffled and augmented batches, see `train_batches`."""
        augmentation = Augmentation(self.augment, self.resolution, self.channels)
        order = self._order(self.split, self.seed)
        steps = range(start_step, start_step + num_steps)
        return self.dataset(self.split, order, steps, augmentation)

    def eval_dataset(self, split: Split) -> tf.data.Dataset:
        """Returns every example of a split once, see `eval_batches`."""
        augmentation = without_chance(self.preprocess, self.resolution, self.channels)
        order = self._order(split, None)
        return self.dataset(split, order, order.steps, augmentation)

    def _order(self, split: Split, seed: int | None) -> Order:
        process = self.process_index, self.process_count
        return Order(len(split), self.batch_size, seed, *process, self.drop_remainder)

    def dataset(
        self, split: Split, order: Order, steps: range, augmentation: Augmentation
    ) -> tf.data.Dataset:
        """Returns batches of augmented photos in a given order."""
        threads = self.threads or os.cpu_count() or 1
        check = functools.partial(self._check, split)
        attempts = max(self.broken_limit, len(self.skipped)) + 2
        filler = _Filler(split, order, augmentation, attempts, threads, check)
        as_it_is = tf.autograph.experimental.do_not_convert

        def batches(iteration: tf.Tensor) -> tf.data.Dataset:
            parts = tf.data.Dataset.range(steps.start * filler.parts, steps.stop * filler.parts)
            filled = parts.map(
                as_it_is(lambda part: tf.numpy_function(filler.fill, [iteration, part], tf.int64)),
                num_parallel_calls=2 * threads,  # so that no thread waits until results are taken
                deterministic=True,
            )
            return filled.shard(filler.parts, filler.parts - 1).map(
                as_it_is(lambda part: filler.taken(iteration, part // filler.parts))
            )

        options = tf.data.Options()
        options.autotune.enabled = False
        options.threading.private_threadpool_size = threads
        options.threading.max_intra_op_parallelism = 1
        iteration = tf.data.Dataset.range(1).map(
            as_it_is(lambda _: tf.ensure_shape(tf.numpy_function(filler.begin, [], tf.int64), []))
        )
        return iteration.flat_map(batches).prefetch(PREFETCH).with_options(options)

    def _check(self, split: Split, batch: "_Batch") -> np.ndarray:
        """Records the unreadable photos of a batch; raises if there are too many.

        Returns:
          The mask of the batch without them.
        """
        mask, limit = batch.rows.mask.copy(), self.broken_limit
        for place, reason in sorted(batch.problems.items()):
            mask[place] = False
            name = split.names[batch.rows.index[place]]
            if name in self.skipped:
                continue
            if len(self.skipped) >= limit:
                self.refused.append(name)
                beyond = f", and {limit} were skipped before" if limit else ""
                raise UserError(
                    f"{name} is not a readable photo{beyond}: replace or remove it ({reason})"
                )
            log.warning("skipping %s, which is not a readable photo (%s)", name, reason)
            self.skipped.append(name)
        return mask


class _Batch(NamedTuple):
    """A batch that is being filled: its examples, images, and problems by the place in it."""

    rows: Rows
    images: np.ndarray
    problems: dict[int, str]


@dataclasses.dataclass(frozen=True)
class _Filler:
    """Fills batches in place, several parts at a time.

    tf.data moves only the numbers of the parts: it would copy every image once more to put tensors
    of parts together.
    """

    split: Split
    order: Order
    augmentation: Augmentation
    attempts: int  # how many photos in a row are tried in place of an unreadable one
    threads: int
    check: Callable[[_Batch], np.ndarray]  # returns the mask of a whole batch
    # The batches that are being filled, by iteration and step.
    open: dict[int, dict[int, _Batch]] = dataclasses.field(default_factory=dict)
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    count: Iterator[int] = dataclasses.field(default_factory=itertools.count)
    # Memory of earlier batches; new memory would cost a page fault for every 4 KiB.
    free: list[mmap.mmap] = dataclasses.field(default_factory=list)

    @property
    def size(self) -> int:
        """Number of examples in a part; so small that all threads take part in a batch."""
        return min(PART, -(-self.order.local // self.threads))

    @property
    def parts(self) -> int:
        """Number of parts of a batch."""
        return -(-self.order.local // self.size)

    def begin(self) -> np.ndarray:
        """Returns a number for a new iteration over the batches."""
        number = next(self.count)
        self.open[number] = {}
        # tf.data keeps the array, which is aligned, as long as the iterator.
        token = np.frombuffer(mmap.mmap(-1, 8), np.int64).reshape([])
        token[...] = number
        weakref.finalize(token, self.open.pop, number).atexit = False
        return token

    def fill(self, iteration: np.int64, part: np.int64) -> np.int64:
        """Fills a part, counted over all batches, and returns its number."""
        step, first = divmod(int(part), self.parts)
        with self.lock:
            batches = self.open[int(iteration)]
            if step not in batches:
                batches[step] = _Batch(self.order.batch(step), self._memory(), {})
        rows, images, problems = batches[step]
        places = range(self.order.local)[first * self.size : (first + 1) * self.size]
        there = slice(places.start, places.stop)
        index = rows.index[there]
        numbers = numbers_of(rows.epoch[there], index)
        seed = self.order.seed or 0
        draws = uniform(seed, numbers, self.augmentation.draws)
        for place, photo, number, drawn in zip(
            places, index.tolist(), numbers.tolist(), draws.tolist(), strict=True
        ):
            images[place], problem = self._image(photo, drawn, (seed, number))
            if problem:
                problems[place] = problem
        return part

    def taken(self, iteration: tf.Tensor, step: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns a whole batch as tensors, and forgets it."""
        local = self.order.local
        spec = {
            "image": tf.TensorSpec(self._shape, tf.uint8),
            "label": tf.TensorSpec([local], tf.int32),
            "index": tf.TensorSpec([local], tf.int64),
            "mask": tf.TensorSpec([local], tf.bool),
        }
        types = [of.dtype for of in spec.values()]
        tensors = tf.numpy_function(self._take, [iteration, step], types)
        for tensor, of in zip(tensors, spec.values(), strict=True):
            tensor.set_shape(of.shape)
        return dict(zip(spec, tensors, strict=True))

    def _take(self, iteration: np.int64, step: np.int64) -> tuple[np.ndarray, ...]:
        batch = self.open[int(iteration)].pop(int(step))
        index = batch.rows.index
        return batch.images, self.split.labels[index], index, self.check(batch)

    def _memory(self) -> np.ndarray:
        """Returns an array for a batch's images, which TensorFlow takes as it is."""
        try:
            memory = self.free.pop()
        except IndexError:
            memory = mmap.mmap(-1, math.prod(self._shape))
        images = np.frombuffer(memory, np.uint8).reshape(self._shape)
        weakref.finalize(images, self.free.append, memory).atexit = False
        return images

    @property
    def _shape(self) -> tuple[int, ...]:
        side = self.augmentation.resolution
        return self.order.local, side, side, self.augmentation.channels

    def _image(
        self, index: int, draws: list[float], seed: tuple[int, int]
    ) -> tuple[np.ndarray | int, str]:
        problem = ""
        for other in range(index, index + self.attempts):
            try:
                photo = self.split.read(other % len(self.split))
                return self.augmentation(photo, draws, seed), problem
            except UNREADABLE as error:
                problem = problem or in_one_line(error)
        return 0, problem  # its batch is never returned


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


def eval_batches(split: Split, **settings: Any) -> tf.data.Dataset:
    """Returns every example once and in order; the last batch is padded, with mask False.

    Args:
      split: to read.
      settings: batch_size, resolution and the other attributes of a `Loader`.

    Returns:
      A dataset of dicts, see `train_batches`.

    Raises:
      UserError: a wrong or random specification.
    """
    return Loader(split, **settings).eval_dataset(split)

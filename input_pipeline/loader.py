"""From a split to batches: tf.data reads, decodes and augments the examples, in order."""

import atexit
import dataclasses
import functools
import logging
import os
import re
import weakref
from collections.abc import Generator, Iterable, Iterator
from typing import Protocol

import numpy as np

from efficientnet.errors import UserError
from input_pipeline.augment.augmentation import Augmentation, without_chance
from input_pipeline.filler import Filler, OpenBatch
from input_pipeline.order import Order
from input_pipeline.quiet_tensorflow import tf
from input_pipeline.sources.split import Split

log = logging.getLogger(__name__)

Batch = dict[str, np.ndarray]

# Batches that are prepared ahead.
PREFETCH = 2


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

    def train(self, start_step: int, num_steps: int) -> Iterator[Batch]:
        """Yields the batches of `train_dataset` as NumPy arrays.

        Raises:
          UserError: see `train_dataset`; or, in any batch, one photo too many can't be read.
        """
        return _as_numpy(self.train_dataset(start_step, num_steps))

    def evaluate(self, split: Split) -> Iterator[Batch]:
        """Yields the batches of `eval_dataset` in the same way."""
        return _as_numpy(self.eval_dataset(split))

    def train_dataset(self, start_step: int, num_steps: int) -> tf.data.Dataset:
        """Returns shuffled and augmented batches, see `Order` for what is in which.

        Raises:
          UserError: the specification is wrong, or the split is empty.
        """
        augmentation = Augmentation(self.augment, self.resolution, self.channels)
        order = self._order(self.split, self.seed)
        steps = range(start_step, start_step + num_steps)
        return self.dataset(self.split, order, steps, augmentation)

    def eval_dataset(self, split: Split) -> tf.data.Dataset:
        """Returns every example of a split once and in order; the last batch is padded.

        Raises:
          UserError: the specification is wrong or random.
        """
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
        filler = Filler(split, order, augmentation, attempts, threads, check)
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

    def _check(self, split: Split, batch: OpenBatch) -> np.ndarray:
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


def _as_numpy(batches: tf.data.Dataset) -> Iterator[Batch]:
    """Yields batches as NumPy arrays, and restores the type of their errors."""
    iterator = _arrays(batches)
    _UNFINISHED.add(iterator)
    return iterator


# tf.data waits for its calls of Python, which an interpreter that ends no longer lets run.
_UNFINISHED: "weakref.WeakSet[Generator[Batch, None, None]]" = weakref.WeakSet()


@atexit.register
def _close() -> None:
    for iterator in list(_UNFINISHED):
        iterator.close()


def _arrays(batches: tf.data.Dataset) -> Generator[Batch, None, None]:
    try:
        yield from batches.as_numpy_iterator()
    except tf.errors.OpError as error:
        # tf.data keeps only the text of a Python error.
        sentence = re.search("UserError: (.*?)\nTraceback", error.message, re.DOTALL)
        if sentence is None:
            raise
        raise UserError(sentence[1]) from None

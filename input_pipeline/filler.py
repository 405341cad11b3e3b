"""Fills batches of examples in place, in as many threads as tf.data calls it from."""

import dataclasses
import itertools
import math
import mmap
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from input_pipeline.augment.augmentation import Augmentation
from input_pipeline.decode import UNREADABLE, in_one_line
from input_pipeline.order import Order, Rows, numbers_of, uniform
from input_pipeline.quiet_tensorflow import tf
from input_pipeline.sources.split import Split

# Maximum number of examples that a thread prepares in one call.
PART = 32


class OpenBatch(NamedTuple):
    """A batch that is being filled: its examples, images, and problems by the place in it."""

    rows: Rows
    images: np.ndarray
    problems: dict[int, str]


@dataclasses.dataclass(frozen=True)
class Filler:
    """Fills batches in place, several parts at a time.

    tf.data moves only the numbers of the parts: it would copy every image once more to put tensors
    of parts together.
    """

    split: Split
    order: Order
    augmentation: Augmentation
    attempts: int  # how many photos in a row are tried in place of an unreadable one
    threads: int
    check: Callable[[OpenBatch], np.ndarray]  # returns the mask of a whole batch
    # The batches that are being filled, by iteration and step.
    open: dict[int, dict[int, OpenBatch]] = dataclasses.field(default_factory=dict)
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
                batches[step] = OpenBatch(self.order.batch(step), self._memory(), {})
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

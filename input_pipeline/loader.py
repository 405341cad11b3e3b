"""Batches of one process: shuffled without a buffer, augmented, and exact at any restart."""

import dataclasses
import logging
import os
from collections.abc import Iterable, Iterator

import numpy as np

from efficientnet.errors import UserError
from input_pipeline.ahead import in_threads
from input_pipeline.augment.augmentation import Augmentation, without_chance
from input_pipeline.order import Rows, eval_rows, local_batch_size, numbers_of, train_rows, uniform
from input_pipeline.quiet_tensorflow import tf
from input_pipeline.sources.split import Split

log = logging.getLogger(__name__)

Batch = dict[str, np.ndarray]

# Batches that are prepared before they are asked for.
PREFETCH = 2
# Examples that a thread prepares in one go, at most.
TOGETHER = 16


@dataclasses.dataclass(frozen=True)
class _Task:
    rows: Rows
    images: np.ndarray  # of the whole batch
    places: range  # in the batch


class Batches(Iterator[Batch]):
    """An iterator over batches that knows broken photos by name.

    A batch holds 'image' uint8 [b, resolution, resolution, channels], 'label' int32 [b], 'index'
    int64 [b] (of the example in the split) and 'mask' bool [b]: False for padding and for photos
    that can't be read. These show the pixels of the next example of the split that can be, so that
    BatchNorm which uses a batch's statistics sees photos alone.

    Attributes:
      skipped: names of the photos that could not be read, in the order of their discovery.
    """

    def __init__(
        self,
        split: Split,
        batches: Iterable[Rows],
        local: int,
        augmentation: Augmentation,
        seed: int,
        threads: int | None,
        broken_limit: int,
        skipped: list[str] | None = None,
    ) -> None:
        """Prepares batches in threads, from when the first is asked for.

        Args:
          split: what is read.
          batches: what stands in them.
          local: how many examples each holds.
          augmentation: what to make of each photo.
          seed: of the draws.
          threads: how many examples to prepare at a time, by default as many as there are cores.
          broken_limit: how many photos may be skipped.
          skipped: the names of those that are known already; gets those of more.
        """
        self.skipped: list[str] = [] if skipped is None else skipped
        self._split, self._augmentation = split, augmentation
        self._seed, self._limit = seed, broken_limit
        self._batches = self._prepared(batches, local, threads or os.cpu_count() or 1)

    def __next__(self) -> Batch:
        """The next batch.

        Raises:
          UserError: a photo of it can't be read, and as many as may be are skipped already.
        """
        return next(self._batches)

    def _prepared(self, batches: Iterable[Rows], local: int, threads: int) -> Iterator[Batch]:
        side, channels = self._augmentation.resolution, self._augmentation.channels
        # So small that all threads take part in a batch.
        together = min(TOGETHER, -(-local // threads))
        parts = -(-local // together)

        def tasks() -> Iterator[_Task]:
            for rows in batches:
                images = np.empty((local, side, side, channels), np.uint8)
                for first in range(0, local, together):
                    yield _Task(rows, images, range(first, min(first + together, local)))

        reasons: list[str] = []
        for task, found in in_threads(self._fill, tasks(), threads, parts * (1 + PREFETCH)):
            reasons += found
            if len(reasons) == local:
                index = task.rows.index
                readable = np.array([not reason for reason in reasons])
                for place in np.flatnonzero(~readable):
                    self._skip(self._split.names[index[place]], reasons[place])
                reasons = []
                yield {
                    "image": task.images,
                    "label": self._split.labels[index],
                    "index": index,
                    "mask": task.rows.mask & readable,
                }

    def _fill(self, task: _Task) -> tuple[_Task, list[str]]:
        """Puts images in their places; returns why which photo can't be read, '' if it can."""
        there = slice(task.places.start, task.places.stop)
        index = task.rows.index[there]
        numbers = numbers_of(task.rows.epoch[there], index)
        draws = uniform(self._seed, numbers, self._augmentation.draws)
        reasons = []
        for place, *example in zip(
            task.places, index.tolist(), numbers.tolist(), draws.tolist(), strict=True
        ):
            task.images[place], reason = self._image(*example)
            reasons.append(reason)
        return task, reasons

    def _image(self, index: int, number: int, draws: list[float]) -> tuple[np.ndarray, str]:
        reasons = []
        # Where more in a row are broken than may be, this batch is never given.
        for other in range(index, index + self._limit + 2):
            try:
                photo = self._split.read(other % len(self._split))
                image = self._augmentation(photo, draws, (self._seed, number))
            except UNREADABLE as error:
                reasons.append(in_one_line(error))
            else:
                return image, "".join(reasons[:1])
        shape = (self._augmentation.resolution,) * 2 + (self._augmentation.channels,)
        return np.zeros(shape, np.uint8), reasons[0]

    def _skip(self, name: str, reason: str) -> None:
        if name in self.skipped:
            return
        if len(self.skipped) >= self._limit:
            beyond = f", and {self._limit} were skipped before" if self._limit else ""
            raise UserError(
                f"{name} is not a readable photo{beyond}: replace or remove it ({reason})"
            )
        log.warning("skipping %s, which is not a readable photo (%s)", name, reason)
        self.skipped.append(name)


# What a split's `read` and the decoder raise.
UNREADABLE = (OSError, tf.errors.OpError)


def in_one_line(error: Exception) -> str:
    """Why a photo can't be read or decoded."""
    message = error.message if isinstance(error, tf.errors.OpError) else str(error)
    message = message.replace("}} ", "}}").split("}}")[-1].split("[Op:")[0]
    return " ".join(message.split())[:200]


def train_batches(
    split: Split,
    *,
    batch_size: int,
    resolution: int,
    num_steps: int,
    channels: int = 3,
    augment: str = "",
    seed: int = 0,
    start_step: int = 0,
    process_index: int = 0,
    process_count: int = 1,
    threads: int | None = None,
    broken_limit: int = 0,
    skipped: list[str] | None = None,
) -> Batches:
    """Shuffled and augmented batches for steps start_step to start_step + num_steps - 1.

    Step s covers positions [s * batch_size, (s + 1) * batch_size) of the concatenation of one
    permutation of the split per epoch: every example comes once per epoch, a batch may span the
    end of one epoch and the beginning of the next, and any step is found in constant time.

    Args:
      split: what to read.
      batch_size: of the global batch; each process gets its equal part.
      resolution: height and width of the images, pixels.
      num_steps: how many batches to give.
      channels: 3, or 1 for gray.
      augment: see `spec.parse`; '' resizes only.
      seed: of order and augmentations.
      start_step: first step, 0 for a run that starts anew.
      process_index: which part of the global batch.
      process_count: of how many.
      threads: how many examples to prepare at a time, by default as many as there are cores.
      broken_limit: how many photos that can't be read are skipped (see `Batches`).
      skipped: the names of those that are known already; gets those of more.

    Raises:
      UserError: a wrong specification or an empty split, at once; a broken photo, when its batch
        comes.
    """
    augmentation = Augmentation(augment, resolution, channels)
    rows_of = train_rows(len(split), batch_size, seed, process_index, process_count)
    steps = range(start_step, start_step + num_steps)
    local = local_batch_size(batch_size, process_count)
    return Batches(
        split, map(rows_of, steps), local, augmentation, seed, threads, broken_limit, skipped
    )


def eval_batches(
    split: Split,
    *,
    batch_size: int,
    resolution: int,
    channels: int = 3,
    preprocess: str = "resize",
    process_index: int = 0,
    process_count: int = 1,
    threads: int | None = None,
    broken_limit: int = 0,
) -> Batches:
    """Every example once and in order; the last batch is padded, with mask False.

    Global batch s covers examples [s * batch_size, (s + 1) * batch_size), so every process gives
    the same number of batches.

    Args:
      split: what to read.
      batch_size: of the global batch; each process gets its equal part.
      resolution: height and width of the images, pixels.
      channels: 3, or 1 for gray.
      preprocess: a specification without chance, such as 'resize' or 'center_crop(0.875)'.
      process_index: which part of the global batch.
      process_count: of how many.
      threads: how many examples to prepare at a time, by default as many as there are cores.
      broken_limit: how many photos that can't be read are skipped (see `Batches`).

    Raises:
      UserError: a wrong or random specification, at once; a broken photo, when its batch comes.
    """
    augmentation = without_chance(preprocess, resolution, channels)
    local = local_batch_size(batch_size, process_count)
    rows = eval_rows(len(split), batch_size, process_index, process_count)
    return Batches(split, rows, local, augmentation, 0, threads, broken_limit)

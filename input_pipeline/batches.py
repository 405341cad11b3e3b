"""Batches of one process: shuffled without a buffer, augmented, and exact at any restart."""

import logging
import os
from collections.abc import Callable, Iterator

import numpy as np

from efficientnet.errors import UserError
from input_pipeline import decode
from input_pipeline.augment import Augmentation
from input_pipeline.quiet_tensorflow import tf
from input_pipeline.sources.split import Split

log = logging.getLogger(__name__)

Batch = dict[str, np.ndarray]
Row = dict[str, tf.Tensor]

PREFETCH = 2


class Batches(Iterator[Batch]):
    """An iterator over batches that knows broken photos by name.

    A batch holds 'image' uint8 [b, resolution, resolution, channels], 'label' int32 [b], 'index'
    int64 [b] (of the example in the split) and 'mask' bool [b]: False for padding and for photos
    that can't be read, whose pixels are then 0.

    Attributes:
      skipped: names of the photos that could not be read, in the order of their discovery.
    """

    def __init__(
        self,
        build: Callable[[int, frozenset[int]], tf.data.Dataset],
        rows_of: Callable[[int], Row],
        split: Split,
        start: int,
        broken_limit: int,
        skipped: list[str] | None = None,
    ) -> None:
        """Starts to prepare batches.

        Args:
          build: gives the batches from a step on, without reading some examples.
          rows_of: the examples of a step.
          split: what is read.
          start: the first step.
          broken_limit: how many photos may be skipped.
          skipped: the names of those that are known already; gets those of more.
        """
        self.skipped: list[str] = [] if skipped is None else skipped
        self._build, self._rows_of, self._split = build, rows_of, split
        self._step, self._limit = start, broken_limit
        known = set(self.skipped)
        self._broken = frozenset(i for i, name in enumerate(split.names) if known and name in known)
        self._batches = build(start, self._broken).as_numpy_iterator()

    def __next__(self) -> Batch:
        """The next batch.

        Raises:
          UserError: a photo of it can't be read, and as many as may be are skipped already.
        """
        while True:
            try:
                batch = next(self._batches)
            except tf.errors.OpError as error:
                self._skip(error)
                # Any step is found in constant time, so starting again there costs little.
                self._batches = self._build(self._step, self._broken).as_numpy_iterator()
            else:
                self._step += 1
                return batch

    def _skip(self, error: tf.errors.OpError) -> None:
        """Finds out which photos of the failed batch can't be read."""
        found = {}
        for index in np.unique(self._rows_of(self._step)["index"].numpy()):
            reason = "" if index in self._broken else broken(self._split, int(index))
            if reason:
                found[int(index)] = reason
        if not found:
            raise error
        for index, reason in found.items():
            name = self._split.names[index]
            if len(self.skipped) >= self._limit:
                beyond = f", and {self._limit} were skipped before" if self._limit else ""
                raise UserError(
                    f"{name} is not a readable photo{beyond}: replace or remove it ({reason})"
                )
            log.warning("skipping %s, which is not a readable photo (%s)", name, reason)
            self.skipped.append(name)
        self._broken |= set(found)


def broken(split: Split, index: int) -> str:
    """Why an example can't be read or decoded, or '' when it can."""
    try:
        photo = split.read(tf.constant(index, tf.int64))
        if photo.dtype == tf.string:
            decode.decode(photo, 3)
    except tf.errors.OpError as error:
        message = error.message.replace("}} ", "}}").split("}}")[-1].split("[Op:")[0]
        return " ".join(message.split())[:200]
    return ""


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
    local = _local_batch_size(batch_size, process_count)
    rows_of = train_rows(split, batch_size, seed, process_index, process_count)

    def build(start: int, without: frozenset[int]) -> tf.data.Dataset:
        steps = tf.data.Dataset.range(start, start_step + num_steps)
        return _prepare(steps, split, rows_of, augmentation, local, threads, without)

    return Batches(build, rows_of, split, start_step, broken_limit, skipped)


def train_rows(
    split: Split, batch_size: int, seed: int, process_index: int, process_count: int
) -> Callable[[tf.Tensor], Row]:
    """Which examples stand in a process's part of a training step: index, label, mask and seed."""
    local = _local_batch_size(batch_size, process_count)
    total = len(split)
    if not total:
        raise UserError("there is no example to train on: the split is empty")
    labels = tf.constant(split.labels)

    def rows_of(step: tf.Tensor) -> Row:
        first = tf.cast(step, tf.int64) * batch_size + process_index * local
        positions = first + tf.range(local, dtype=tf.int64)
        epochs, offsets = positions // total, positions % total
        index = shuffled(offsets, epochs, total, seed)
        return {
            "index": index,
            "label": tf.gather(labels, index),
            "mask": tf.ones([local], tf.bool),
            "seed": tf.stack([tf.fill([local], _int64(seed)), epochs * 2**32 + index], 1),
        }

    return rows_of


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
    augmentation = Augmentation(preprocess, resolution, channels)
    if augmentation.draws:
        raise UserError(f"evaluation must not be random, but {preprocess!r} is: use 'resize'")
    local = _local_batch_size(batch_size, process_count)
    total = len(split)
    labels = tf.constant(split.labels)

    def rows_of(step: tf.Tensor) -> Row:
        first = tf.cast(step, tf.int64) * batch_size + process_index * local
        positions = first + tf.range(local, dtype=tf.int64)
        index = tf.minimum(positions, total - 1)
        return {
            "index": index,
            "label": tf.gather(labels, index),
            "mask": positions < total,
            "seed": tf.zeros([local, 2], tf.int64),
        }

    def build(start: int, without: frozenset[int]) -> tf.data.Dataset:
        steps = tf.data.Dataset.range(start, -(-total // batch_size))
        return _prepare(steps, split, rows_of, augmentation, local, threads, without)

    return Batches(build, rows_of, split, 0, broken_limit)


def shuffled(offsets: tf.Tensor, epochs: tf.Tensor, total: int, seed: int) -> tf.Tensor:
    """Which example stands at each offset of each epoch's permutation of `total` examples.

    Args:
      offsets: int64 [b], 0 <= offset < total.
      epochs: int64 [b], not decreasing.
      total: number of examples.
      seed: fixes the permutations of all epochs.

    Returns:
      int64 [b].
    """
    known = tf.range(epochs[0], epochs[-1] + 1)
    keys = tf.map_fn(
        lambda epoch: tf.random.stateless_uniform(
            [2, 3], tf.stack([_int64(seed), epoch]), None, None, tf.int32, alg="philox"
        ),
        known,
        fn_output_signature=tf.TensorSpec([2, 3], tf.int32),
    )
    keys = tf.gather(keys, epochs - epochs[0])
    # The operation uses few bits of each key word, hence hashed keys, and two rounds of it.
    for turn in range(2):
        offsets = tf.raw_ops.RandomIndexShuffle(
            index=offsets, seed=keys[:, turn], max_index=_int64(total - 1), rounds=8
        )
    return offsets


def _int64(value: int) -> tf.Tensor:
    return tf.constant(value, tf.int64)


def _local_batch_size(batch_size: int, process_count: int) -> int:
    if batch_size < 1 or batch_size % process_count:
        raise UserError(
            f"batch size {batch_size} can't be shared equally by {process_count} processes: "
            f"use a positive multiple of {process_count}"
        )
    return batch_size // process_count


def _prepare(
    steps: tf.data.Dataset,
    split: Split,
    rows_of: Callable[[tf.Tensor], Row],
    augmentation: Augmentation,
    local: int,
    threads: int | None,
    without: frozenset[int],
) -> tf.data.Dataset:
    threads = threads or os.cpu_count() or 1
    skip = np.zeros([len(split)], np.bool_)
    skip[list(without)] = True
    skipped = tf.constant(skip)
    shape = [augmentation.resolution, augmentation.resolution, augmentation.channels]

    def example(row: Row) -> Row:
        def augmented() -> tf.Tensor:
            # Padding repeats the last example's pixels only to keep shapes.
            return augmentation(split.read(row["index"]), row["seed"])

        mask = row["mask"]
        if without:
            skip = skipped[row["index"]]
            image = tf.cond(skip, lambda: tf.zeros(shape, tf.uint8), augmented)
            mask &= ~skip
        else:
            image = augmented()
        return {"image": image, "label": row["label"], "index": row["index"], "mask": mask}

    # Nothing here needs Python's control flow rewritten, which takes seconds.
    plainly = tf.autograph.experimental.do_not_convert
    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False
    options.threading.private_threadpool_size = threads
    options.threading.max_intra_op_parallelism = 1
    return (
        steps.map(plainly(rows_of))
        .unbatch()
        .map(plainly(example), num_parallel_calls=threads)
        .batch(local, drop_remainder=True)
        .prefetch(PREFETCH)
        .with_options(options)
    )

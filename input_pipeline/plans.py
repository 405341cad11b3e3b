"""What to do to each photo of a training batch, for whoever holds the decoded photos itself."""

import os
from collections.abc import Iterator

import numpy as np

from efficientnet.errors import UserError
from input_pipeline import warp
from input_pipeline.augment import Augmentation, Move
from input_pipeline.batches import PREFETCH, train_rows
from input_pipeline.color import (
    ColorJitter,
    GaussianNoise,
    Grayscale,
    Photometric,
    RandomErasing,
)
from input_pipeline.quiet_tensorflow import tf
from input_pipeline.sources.split import Split

SUPPORTED = (ColorJitter, GaussianNoise, Grayscale, RandomErasing)


def photometric(augment: str, resolution: int, channels: int) -> tuple[Move, list[Photometric]]:
    """What a specification comes to where crop, resize and flip are one pair of matrix products.

    Returns:
      The geometric operations, and the photometric ones after them.

    Raises:
      UserError: the specification is wrong, or has an operation that only the host can do.
    """
    first, *others = Augmentation(augment, resolution, channels).stages
    if not isinstance(first, Move) or first.skews or first.special:
        raise UserError(
            f"the augmentation {augment!r} turns, shears, shifts or resizes in a way that "
            "config.data.cache='device' can't: begin with crops, flips and a bilinear resize, or "
            "take cache='memory'"
        )
    operations: list[Photometric] = [first.jitter] if first.jitter else []
    for operation in others:
        supported = isinstance(operation, SUPPORTED) and not getattr(operation, "hue", 0)
        if not isinstance(operation, Photometric) or not supported:
            name = "hue" if getattr(operation, "hue", 0) else _name(operation)
            raise UserError(
                f"the augmentation {augment!r} has {name}, which config.data.cache='device' can't "
                "do: leave it out, or take cache='memory'"
            )
        operations.append(operation)
    return first, operations


def _name(operation: Photometric | Move) -> str:
    return "a second resize" if isinstance(operation, Move) else type(operation).__name__


def train_plans(
    split: Split,
    *,
    batch_size: int,
    cached: int,
    resolution: int,
    num_steps: int,
    channels: int,
    augment: str,
    seed: int,
    start_step: int,
    process_index: int,
    process_count: int,
) -> Iterator[dict[str, np.ndarray]]:
    """Yields what `batches.train_batches` would do, without doing it: see there.

    A plan holds 'index' int32, 'label' int32 and 'mask' bool [b]; 'scale' and 'offset' float32
    [b, 2], along y and x: output pixel p of the target lies at scale * p + offset in the photo, a
    square of side `cached`; 'draws' float32 [b, d] of the photometric operations, in order; and
    'epoch' int32 [b].
    """
    move, operations = photometric(augment, resolution, channels)
    used = sum(operation.draws for operation in move.moves)
    total = used + sum(operation.draws for operation in operations)
    rows_of = train_rows(split, batch_size, seed, process_index, process_count)
    size = tf.fill([2], float(cached))

    def plan(row: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        draws = tf.random.stateless_uniform([total], row["seed"], alg="philox")
        matrix = warp.compose(move.moves, size, resolution, draws[:used])
        return {
            "index": tf.cast(row["index"], tf.int32),
            "label": row["label"],
            "mask": row["mask"],
            "epoch": tf.cast(row["seed"][1] // 2**32, tf.int32),
            "scale": tf.linalg.diag_part(matrix)[1::-1],
            "offset": matrix[1::-1, 2],
            "draws": draws[used:],
        }

    plainly = tf.autograph.experimental.do_not_convert
    options = tf.data.Options()
    options.deterministic = True
    options.threading.max_intra_op_parallelism = 1
    return (
        tf.data.Dataset.range(start_step, start_step + num_steps)
        .map(plainly(rows_of))
        .unbatch()
        .map(plainly(plan), num_parallel_calls=os.cpu_count())
        .batch(batch_size // process_count, drop_remainder=True)
        .prefetch(PREFETCH)
        .with_options(options)
        .as_numpy_iterator()
    )

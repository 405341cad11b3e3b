"""What to do to each photo of a training batch, for whoever holds the decoded photos itself."""

from collections.abc import Iterator

import numpy as np

from efficientnet.errors import UserError
from input_pipeline import warp
from input_pipeline.augment import Augmentation, Move
from input_pipeline.color import (
    ColorJitter,
    GaussianNoise,
    Grayscale,
    Photometric,
    RandomErasing,
)
from input_pipeline.order import numbers_of, train_rows, uniform
from input_pipeline.sources.split import Split

SUPPORTED = (ColorJitter, GaussianNoise, Grayscale, RandomErasing)


def photometric(augment: str, resolution: int, channels: int) -> tuple[Move, list[Photometric]]:
    """What a specification comes to on devices: one warp, then colors.

    Returns:
      The geometric operations, and the photometric ones after them.

    Raises:
      UserError: the specification is wrong, or has an operation that only the host can do.
    """
    first, *others = Augmentation(augment, resolution, channels).stages
    if not isinstance(first, Move) or first.special:
        raise UserError(
            f"the augmentation {augment!r} begins in a way that config.data.cache='device' can't: "
            "begin with crops, flips, turns and a bilinear resize, or take cache='memory'"
        )
    operations: list[Photometric] = [first.jitter] if first.jitter else []
    for operation in others:
        if not isinstance(operation, SUPPORTED):
            name = "a second resize" if isinstance(operation, Move) else type(operation).__name__
            raise UserError(
                f"the augmentation {augment!r} has {name}, which config.data.cache='device' can't "
                "do: leave it out, or take cache='memory'"
            )
        operations.append(operation)
    return first, operations


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

    A plan holds 'index' int32, 'label' int32, 'mask' bool and 'epoch' int32 [b]; 'matrix' float32
    [b, 2, 3], which maps points (x, y, 1) of the target to points of the photo, a square of side
    `cached`; and 'draws' float32 [b, d] of the photometric operations, in order.
    """
    move, operations = photometric(augment, resolution, channels)
    used = sum(operation.draws for operation in move.moves)
    total = used + sum(operation.draws for operation in operations)
    rows_of = train_rows(len(split), batch_size, seed, process_index, process_count)
    size = (cached, cached)
    for step in range(start_step, start_step + num_steps):
        rows = rows_of(step)
        draws = uniform(seed, numbers_of(rows.epoch, rows.index), total)
        matrices = [
            warp.compose(move.moves, size, resolution, own) for own in draws[:, :used].tolist()
        ]
        yield {
            "index": rows.index.astype(np.int32),
            "label": split.labels[rows.index],
            "mask": rows.mask,
            "epoch": rows.epoch.astype(np.int32),
            "matrix": np.array(matrices, np.float32),
            "draws": draws[:, used:],
        }

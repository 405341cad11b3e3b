"""One warp from a photo to the target square, for any product of geometric operations."""

from collections.abc import Sequence

import numpy as np

from input_pipeline.augment import sampling
from input_pipeline.augment.geometry import IDENTITY, Geometric, Size, product
from input_pipeline.augment.resizing import interpolate, resize
from input_pipeline.augment.window import Matrix, covered


def compose(
    operations: Sequence[Geometric], size: Size, target: int, draws: Sequence[float]
) -> Matrix:
    """Multiplies the operations' matrices: target point -> photo point.

    Args:
      operations: in reading order.
      size: of the photo.
      target: side of the target square.
      draws: as many as the operations use.
    """
    matrix = IDENTITY
    position = 0
    for operation in operations:
        own = draws[position : position + operation.draws]
        step, size = operation.pull_back(size, target, own)
        matrix = product(matrix, step)
        position += operation.draws
    return matrix


def stretch(
    image: np.ndarray, matrix: Matrix, target: int, method: str, antialias: bool
) -> np.ndarray:
    """Cuts a window and resizes it, then mirrors; exact but slow.

    Args:
      image: uint8 [height, width, channels].
      matrix: one that only scales, mirrors and shifts, and stays inside the image.
      target: side of the result.
      method: 'bilinear' or 'bicubic'.
      antialias: whether the kernel widens when the image shrinks.

    Returns:
      uint8 [target, target, channels].
    """
    (a, _, c), (_, e, f) = matrix
    low_x, high_x = sorted((c, c + a * target))
    low_y, high_y = sorted((f, f + e * target))
    # Whole pixels, as torchvision cuts before it resizes.
    left, right = covered(low_x, high_x, image.shape[1])
    top, bottom = covered(low_y, high_y, image.shape[0])
    image = image[top:bottom, left:right]
    box = (
        max(low_x - left, 0.0),
        max(low_y - top, 0.0),
        min(high_x - left, right - left),
        min(high_y - top, bottom - top),
    )
    resized = (resize if antialias else interpolate)(image, target, target, method, box)
    return resized[:: -1 if e < 0 else 1, :: -1 if a < 0 else 1]


def reduce(image: np.ndarray, matrix: Matrix) -> tuple[np.ndarray, Matrix]:
    """Shrinks an image that a warp would sample much too thinly, so that nothing aliases.

    Args:
      image: uint8 [height, width, channels].
      matrix: target point -> image point.

    Returns:
      An image of the same type and channels, and the warp from target points to its points.
    """
    step = sampling.spacing(matrix)
    if max(step) <= sampling.FAR:
        return image, matrix
    height, width = image.shape[:2]
    rows = max(round(height / max(step[0], 1)), 1)
    columns = max(round(width / max(step[1], 1)), 1)
    zoom = (columns / width, 0.0, 0.0), (0.0, rows / height, 0.0)
    return resize(image, rows, columns), product(zoom, matrix)

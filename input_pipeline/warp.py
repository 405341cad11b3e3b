"""One warp from a photo to the target square, for any product of geometric operations."""

from collections.abc import Sequence

import numpy as np

from input_pipeline import sampler
from input_pipeline.geometry import Geometric, Size
from input_pipeline.resizing import interpolate, resize
from input_pipeline.window import covered


def compose(
    operations: Sequence[Geometric], size: Size, target: int, draws: Sequence[float]
) -> np.ndarray:
    """Multiplies the operations' matrices: float64 [3, 3], target point -> photo point.

    Args:
      operations: in reading order.
      size: of the photo.
      target: side of the target square.
      draws: as many as the operations use.
    """
    matrix = np.eye(3)
    position = 0
    for operation in operations:
        own = draws[position : position + operation.draws]
        step, size = operation.pull_back(size, target, own)
        matrix = matrix @ step
        position += operation.draws
    return matrix


def stretch(
    image: np.ndarray, matrix: np.ndarray, target: int, method: str, antialias: bool
) -> np.ndarray:
    """Cuts a window and resizes it, then mirrors; exact but slow.

    Args:
      image: uint8 [height, width, channels].
      matrix: [3, 3] that only scales, mirrors and shifts, and stays inside the image.
      target: side of the result.
      method: 'bilinear' or 'bicubic'.
      antialias: whether the kernel widens when the image shrinks.

    Returns:
      uint8 [target, target, channels].
    """
    scale, near = np.diag(matrix)[1::-1], matrix[1::-1, 2]
    low, high = np.sort((near, near + scale * target), axis=0)
    # Whole pixels, as torchvision cuts before it resizes.
    (top, bottom), (left, right) = map(covered, low, high, image.shape[:2])
    image = image[top:bottom, left:right]
    ends = np.clip((low - (top, left), high - (top, left)), 0, image.shape[:2])
    box = tuple(ends[:, ::-1].ravel().tolist())
    resized = (resize if antialias else interpolate)(image, target, target, method, box)
    down, across = np.sign(scale).astype(int)
    return resized[::down, ::across]


def reduce(image: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shrinks an image that a warp would sample much too thinly, so that nothing aliases.

    Args:
      image: uint8 [height, width, channels].
      matrix: [3, 3], target point -> image point.

    Returns:
      An image of the same type and channels, and the warp from target points to its points.
    """
    step = sampler.spacing(matrix)
    if max(step) <= sampler.FAR:
        return image, matrix
    size = image.shape[:2]
    reduced = [max(round(n / max(s, 1)), 1) for n, s in zip(size, step, strict=True)]
    small = resize(image, *reduced)
    zoom = np.array([[reduced[1] / size[1]], [reduced[0] / size[0]], [1]])
    return small, zoom * matrix

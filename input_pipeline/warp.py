"""One warp from a photo to the target square, for any product of geometric operations."""

from collections.abc import Sequence

import numpy as np

from input_pipeline import sampler
from input_pipeline.geometry import Geometric, Size
from input_pipeline.quiet_tensorflow import tf
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
    image: np.ndarray, matrix: np.ndarray, target: int, kernel: str, antialias: bool
) -> np.ndarray:
    """Cuts a window and resizes it, then mirrors; exact but slow.

    Args:
      image: uint8 or float32 [height, width, channels].
      matrix: [3, 3] that only scales, mirrors and shifts, and stays inside the image.
      target: side of the result.
      kernel: 'triangle' (bilinear) or 'keyscubic' (bicubic).
      antialias: whether the kernel widens when the image shrinks.

    Returns:
      float32 [target, target, channels].
    """
    scale, near = np.diag(matrix)[1::-1], matrix[1::-1, 2]
    low, high = np.sort((near, near + scale * target), axis=0)
    # Whole pixels, as torchvision cuts before it resizes.
    (top, bottom), (left, right) = map(covered, low, high, image.shape[:2])
    zoom = (target / (high - low)).astype(np.float32)
    resized = tf.raw_ops.ScaleAndTranslate(
        images=image[None, top:bottom, left:right],
        size=[target, target],
        scale=zoom,
        translation=(((top, left) - low) * zoom).astype(np.float32),
        kernel_type=kernel,
        antialias=antialias,
    )
    down, across = np.sign(scale).astype(int)
    return resized.numpy()[0, ::down, ::across]


def project(image: tf.Tensor, matrix: tf.Tensor, target: int, fill: float = 0.0) -> tf.Tensor:
    """Samples bilinearly by any affine matrix that does not shrink the image.

    Args:
      image: uint8 or float32 [height, width, channels].
      matrix: float32 [3, 3], target point -> image point.
      target: side of the result.
      fill: what to show outside the image, 0..255.

    Returns:
      float32 [target, target, channels].
    """
    # From corners of pixels to their centers, which the operation counts from 0.
    to_center = tf.constant([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
    from_center = tf.constant([[1.0, 0.0, -0.5], [0.0, 1.0, -0.5], [0.0, 0.0, 1.0]])
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(image, tf.float32)[None],
        transforms=tf.reshape(from_center @ matrix @ to_center, [1, 9])[:, :8],
        output_shape=[target, target],
        fill_value=fill,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )[0]


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
    small = np.round(tf.image.resize(image, reduced, antialias=True)).astype(np.uint8)
    zoom = np.array([[reduced[1] / size[1]], [reduced[0] / size[0]], [1]])
    return small, zoom * matrix

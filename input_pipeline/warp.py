"""One warp from a photo to the target square, for any product of geometric operations."""

from collections.abc import Sequence

from input_pipeline.geometry import Geometric
from input_pipeline.quiet_tensorflow import tf


def compose(
    operations: Sequence[Geometric], size: tf.Tensor, target: int, draws: tf.Tensor
) -> tf.Tensor:
    """Multiplies the operations' matrices: float32 [3, 3], target point -> photo point.

    Args:
      operations: in reading order.
      size: float32 [2], height and width of the photo.
      target: side of the target square.
      draws: float32, as many as the operations use.
    """
    matrix = tf.eye(3)
    position = 0
    for operation in operations:
        own = draws[position : position + operation.draws]
        step, size = operation.pull_back(size, target, own)
        matrix = matrix @ step
        position += operation.draws
    return matrix


def warp(image: tf.Tensor, matrix: tf.Tensor, target: int, skews: bool) -> tf.Tensor:
    """Resamples [height, width, channels] to float32 [target, target, channels].

    Args:
      image: uint8 or float32.
      matrix: float32 [3, 3], target point -> image point.
      target: side of the result.
      skews: False promises a matrix that only scales, mirrors and shifts and stays inside.
    """
    if skews:
        return _project(*_reduce(image, matrix), target)
    return _stretch(image, matrix, target)


def _stretch(image: tf.Tensor, matrix: tf.Tensor, target: int) -> tf.Tensor:
    """Cuts a window and resizes it, bilinear and antialiased, then mirrors."""
    scale = tf.stack([matrix[1, 1], matrix[0, 0]])
    near = tf.stack([matrix[1, 2], matrix[0, 2]])
    low = tf.minimum(near, near + scale * target)
    high = tf.maximum(near, near + scale * target)
    # Whole pixels, as torchvision cuts before it resizes; the tolerance is for rounding errors.
    first = tf.cast(tf.maximum(tf.floor(low + 1e-2), 0.0), tf.int32)
    last = tf.minimum(tf.cast(tf.math.ceil(high - 1e-2), tf.int32), tf.shape(image)[:2])
    pixels = image[first[0] : last[0], first[1] : last[1]]
    zoom = target / (high - low)
    resized = tf.raw_ops.ScaleAndTranslate(
        images=pixels[None],
        size=[target, target],
        scale=zoom,
        translation=-(low - tf.cast(first, tf.float32)) * zoom,
        kernel_type="triangle",
        antialias=True,
    )[0]
    mirrored = scale < 0
    resized = tf.cond(mirrored[0], lambda: resized[::-1], lambda: resized)
    return tf.cond(mirrored[1], lambda: resized[:, ::-1], lambda: resized)


def _reduce(image: tf.Tensor, matrix: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Shrinks an image that a warp samples too thinly, so that nothing aliases."""
    image = tf.cast(image, tf.float32)
    # Input pixels between neighbors of the output, along y and x.
    step = tf.norm(matrix[1::-1, :2], axis=1)
    size = tf.cast(tf.shape(image)[:2], tf.float32)
    reduced = tf.maximum(tf.round(size / tf.maximum(step, 1.0)), 1.0)

    def shrink() -> tf.Tensor:
        small = tf.image.resize(image, tf.cast(reduced, tf.int32), antialias=True)
        return tf.ensure_shape(small, image.shape)

    too_thin = tf.reduce_any(step > 1.2)
    zoom = tf.where(too_thin, reduced / size, 1.0)
    image = tf.cond(too_thin, shrink, lambda: image)
    return image, matrix * tf.reshape(tf.stack([zoom[1], zoom[0], 1.0]), [3, 1])


def _project(image: tf.Tensor, matrix: tf.Tensor, target: int) -> tf.Tensor:
    """Bilinear sampling; black outside the image."""
    # From corners of pixels to their centers, which the operation counts from 0.
    to_center = tf.constant([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
    from_center = tf.constant([[1.0, 0.0, -0.5], [0.0, 1.0, -0.5], [0.0, 0.0, 1.0]])
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=image[None],
        transforms=tf.reshape(from_center @ matrix @ to_center, [1, 9])[:, :8],
        output_shape=[target, target],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )[0]

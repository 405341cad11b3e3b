"""One warp from a photo to the target square, for any product of geometric operations."""

from collections.abc import Sequence

from input_pipeline import sampler
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


def stretch(
    image: tf.Tensor, matrix: tf.Tensor, target: int, kernel: str, antialias: bool
) -> tf.Tensor:
    """Cuts a window and resizes it, then mirrors; exact but slow.

    Args:
      image: uint8 or float32 [height, width, channels].
      matrix: float32 [3, 3] that only scales, mirrors and shifts, and stays inside the image.
      target: side of the result.
      kernel: 'triangle' (bilinear) or 'keyscubic' (bicubic).
      antialias: whether the kernel widens when the image shrinks.

    Returns:
      float32 [target, target, channels].
    """
    low, high, first, pixels = _window(image, matrix, target)
    zoom = target / (high - low)
    resized = tf.raw_ops.ScaleAndTranslate(
        images=pixels[None],
        size=[target, target],
        scale=zoom,
        translation=(first - low) * zoom,
        kernel_type=kernel,
        antialias=antialias,
    )[0]
    return _mirror(resized, matrix)


def _window(
    image: tf.Tensor, matrix: tf.Tensor, target: int
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Where the warp begins and ends, float32 [2] each, and the whole pixels that it sees."""
    scale = tf.linalg.diag_part(matrix)[1::-1]
    near = matrix[1::-1, 2]
    far = near + scale * target
    low, high = tf.minimum(near, far), tf.maximum(near, far)
    # Whole pixels, as torchvision cuts before it resizes; the tolerance is for rounding errors.
    size = tf.cast(tf.shape(image)[:2], tf.float32)
    first = tf.clip_by_value(tf.floor(low + 1e-2), 0.0, size - 1)
    last = tf.clip_by_value(tf.math.ceil(high - 1e-2), first + 1, size)
    begin, end = tf.cast(first, tf.int32), tf.cast(last, tf.int32)
    return low, high, first, image[begin[0] : end[0], begin[1] : end[1]]


def _mirror(image: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    dims = tf.stack([matrix[1, 1] < 0, matrix[0, 0] < 0, False])
    return tf.raw_ops.Reverse(tensor=image, dims=dims)


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


def reduce(image: tf.Tensor, matrix: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Shrinks an image that a warp would sample much too thinly, so that nothing aliases.

    Args:
      image: uint8 or float32 [height, width, channels].
      matrix: float32 [3, 3], target point -> image point.

    Returns:
      An image of the same type and channels, and the warp from target points to its points.
    """
    step = sampler.spacing(matrix)

    def shrink() -> tuple[tf.Tensor, tf.Tensor]:
        size = tf.cast(tf.shape(image)[:2], tf.float32)
        reduced = tf.maximum(tf.round(size / tf.maximum(step, 1.0)), 1.0)
        small = tf.image.resize(image, tf.cast(reduced, tf.int32), antialias=True)
        if image.dtype == tf.uint8:
            small = tf.cast(tf.round(small), tf.uint8)
        zoom = tf.concat([(reduced / size)[::-1], [1.0]], 0)
        return tf.ensure_shape(small, [None, None, image.shape[-1]]), zoom[:, None] * matrix

    return tf.cond(tf.reduce_any(step > sampler.FAR), shrink, lambda: (image, matrix))

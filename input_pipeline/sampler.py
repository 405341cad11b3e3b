"""Samples a photo at the points of the target square: the one place where pixels are moved.

OpenCV does it where it is installed (`pip install '.[fast]'`), with vector instructions; else loops
that XLA compiles, which take two to three times as long. Pixels differ by a level or two.
"""

import importlib.util
import math

from input_pipeline import sampler_opencv, sampler_xla
from input_pipeline.quiet_tensorflow import tf

HAS_OPENCV = importlib.util.find_spec("cv2") is not None

# Photo pixels between neighbors of the result up to which nothing is blurred,
THIN = 1.05
# and from which on a photo is shrunk before it is sampled: three taps blur no further.
FAR = math.sqrt(5) if HAS_OPENCV else THIN


def sample(
    image: tf.Tensor,
    matrix: tf.Tensor,
    target: int,
    beyond: str,
    factors: tf.Tensor | None = None,
) -> tf.Tensor:
    """Samples an image bilinearly; what shrinks by up to `FAR` does not alias.

    Args:
      image: uint8 [height, width, channels], one or three channels.
      matrix: float32 [3, 3], target point -> image point.
      target: side of the result.
      beyond: what is outside the image: 'black', or its 'edge' repeated.
      factors: of brightness, contrast about the mean luma, and saturation, float32 [3]; see
        `color.ColorJitter`.

    Returns:
      uint8 [target, target, channels].
    """
    if not HAS_OPENCV:
        return sampler_xla.sample(image, matrix, target, beyond, factors)
    return sampler_opencv.sample(image, matrix, softening(matrix), target, beyond, factors)


def spacing(matrix: tf.Tensor) -> tf.Tensor:
    """Image pixels between neighbors of the target, along y and x: float32 [2]."""
    return tf.norm(matrix[1::-1, :2], axis=1)


def softening(matrix: tf.Tensor) -> tf.Tensor:
    """The outer weights of the three-tap filters, along y and x, before bilinear sampling.

    A triangle of half-width s, which resizing by 1 / s with antialiasing weighs with, has variance
    s^2 / 6. Bilinear sampling adds 1 / 6 to that of the filter, which is twice its outer weight, on
    average, but nothing at pixels' centers: hence a little more than the average asks for.

    Returns:
      float32 [2], from 0 to 0.3.
    """
    step = spacing(matrix)
    return tf.where(step > THIN, tf.minimum((tf.square(step) - 1) / 8, 0.3), 0.0)

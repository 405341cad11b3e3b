"""Samples a photo at the points of the target square: the one place where pixels are moved.

OpenCV does it, in one pass of vector instructions each for softening, warping and colors.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from input_pipeline.augment.color import recolor
from input_pipeline.augment.window import ROUNDING, Matrix, seen

# The examples are what is shared out among threads.
cv2.setNumThreads(0)

# Photo pixels between neighbors of the result up to which a blur would hardly be seen,
THIN = 1.15
# and from which on a photo is shrunk before it is sampled: three taps blur no further.
FAR = math.sqrt(5)
# Pixels around the window that are interpolated and softened with.
MARGIN = 2
# OpenCV's codes, by whether left and right change places, and top and bottom.
MIRRORED = {(True, False): 1, (False, True): 0, (True, True): -1}


def spacing(matrix: Matrix) -> tuple[float, float]:
    """Image pixels between neighbors of the target, along y and x."""
    (a, b, _), (c, d, _) = matrix
    return math.hypot(c, d), math.hypot(a, b)


def softening(step: float) -> float:
    """The outer weight w of the taps (w, 1 - 2 w, w) that keep what shrinks from aliasing.

    The triangle of half-width s, which resizing by 1 / s with antialiasing weighs with, has
    variance s^2 / 6. Bilinear sampling adds 1 / 6 to that of the filter, which is twice its outer
    weight, on average, but nothing at pixels' centers: hence a little more than the average asks.

    Args:
      step: s, see `spacing`.

    Returns:
      From 0 to 0.3.
    """
    return min((step * step - 1) / 8, 0.3) if step > THIN else 0.0


def sample(
    image: np.ndarray,
    matrix: Matrix,
    target: int,
    fill: int | None,
    factors: Sequence[float] = (),
) -> np.ndarray:
    """Samples an image bilinearly; what shrinks by up to `FAR` does not alias.

    Args:
      image: uint8 [height, width, channels], one or three channels.
      matrix: target point -> image point.
      target: side of the result.
      fill: gray level of what is outside the image; None repeats its edge.
      factors: of brightness, contrast about the mean luma, and saturation; see
        `color.ColorJitter`.

    Returns:
      uint8 [target, target, channels].
    """
    (a, b, c), (d, e, f) = matrix
    height, width, channels = image.shape
    straight = fill is None and not (b or d)
    margin = 0 if straight else MARGIN
    left, right = seen((a, b, c), target, width, margin)
    top, bottom = seen((d, e, f), target, height, margin)
    image = image[top:bottom, left:right]
    c, f = c - left, f - top
    down, across = (softening(step) for step in spacing(matrix))
    if down or across:
        rows, columns = (np.array([w, 1 - 2 * w, w]) for w in (across, down))
        image = cv2.sepFilter2D(image, -1, rows, columns, borderType=cv2.BORDER_REPLICATE)
    # Resizing, of what is just the whole image and perhaps mirrored, is faster than warping.
    if (
        straight
        and _is_whole(c, a * target, right - left)
        and _is_whole(f, e * target, bottom - top)
    ):
        image = cv2.resize(image, (target, target), interpolation=cv2.INTER_LINEAR)
        if a < 0 or e < 0:
            image = cv2.flip(image, MIRRORED[a < 0, e < 0])
    else:
        image = warp(image, ((a, b, c), (d, e, f)), target, target, fill)
    if factors:
        image = recolor(image.reshape(target, target, channels), *factors)
    return image.reshape(target, target, channels)


def warp(
    image: np.ndarray,
    matrix: Matrix,
    height: int,
    width: int,
    fill: int | None,
) -> np.ndarray:
    """Samples an image bilinearly at each pixel of the result, and no more.

    Args:
      image: uint8 [h, w, channels].
      matrix: point of the result -> image point.
      height: of the result.
      width: of the result.
      fill: see `sample`.

    Returns:
      uint8 [height, width, channels].
    """
    (a, b, c), (d, e, f) = matrix
    # From corners of pixels to their centers, which OpenCV counts from 0.
    center = ((a, b, c + (a + b - 1) / 2), (d, e, f + (d + e - 1) / 2))
    result = cv2.warpAffine(
        image,
        np.array(center),
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE if fill is None else cv2.BORDER_CONSTANT,
        borderValue=(fill or 0,) * 3,
    )
    return result.reshape(height, width, -1)


def _is_whole(start: float, along: float, size: int) -> bool:
    low, high = sorted((start, start + along))
    return abs(low) < 2 * ROUNDING and abs(high - size) < 2 * ROUNDING

"""Where pixels are moved: resizing by Pillow, to be exact, and warps by OpenCV, to be fast.

A warp takes one pass of vector instructions for softening what shrinks, and one for sampling.
"""

import math

import cv2
import numpy as np
from PIL import Image

# The examples are what is shared out among threads.
cv2.setNumThreads(0)

METHODS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}

# Left, top, right and bottom, pixels from the top left corner.
Box = tuple[float, float, float, float]
# Of a matrix: (x, y, 1) of the target -> one coordinate of the photo.
Row = tuple[float, float, float]
# Both coordinates, x first.
Matrix = tuple[Row, Row]

# For rounding errors of windows of whole pixels.
ROUNDING = 1e-2
# Photo pixels between neighbors of the result up to which a blur would hardly be seen,
THIN = 1.15
# and from which on a photo is shrunk before it is sampled: three taps blur no further.
FAR = math.sqrt(5)
# Pixels around the window that are interpolated and softened with.
MARGIN = 2
# OpenCV's codes, by whether left and right change places, and top and bottom.
MIRRORED = {(True, False): 1, (False, True): 0, (True, True): -1}


def product(outer: Matrix, inner: Matrix) -> Matrix:
    """The matrix that does what `inner` does, and then what `outer` does."""
    (a, b, c), (d, e, f) = inner
    (g, h, x), (i, j, y) = outer
    return (
        (g * a + h * d, g * b + h * e, g * c + h * f + x),
        (i * a + j * d, i * b + j * e, i * c + j * f + y),
    )


def covered(low: float, high: float, size: int, margin: int = 0) -> tuple[int, int]:
    """The first pixel and the one after the last from `low` to `high`, at least one.

    Args:
      low: where the stretch begins, pixels from the edge; perhaps outside.
      high: where it ends.
      size: pixels there are.
      margin: pixels more at both ends, as far as there are any.
    """
    first = min(max(math.floor(low + ROUNDING) - margin, 0), size - 1)
    return first, min(max(math.ceil(high - ROUNDING) + margin, first + 1), size)


def seen(row: Row, target: int, size: int, margin: int = 0) -> tuple[int, int]:
    """The same of what the whole target square shows of a photo, in one direction.

    Args:
      row: of the matrix from target points to photo points.
      target: side of the square.
      size: pixels there are.
      margin: see `covered`.
    """
    along, across, start = row
    low = start + target * (min(along, 0) + min(across, 0))
    high = start + target * (max(along, 0) + max(across, 0))
    return covered(low, high, size, margin)


def resize(
    image: np.ndarray, height: int, width: int, method: str = "bilinear", box: Box | None = None
) -> np.ndarray:
    """Resizes as Pillow does: the kernel widens where an image shrinks.

    Args:
      image: uint8 [h, w, channels], one or three channels.
      height: of the result.
      width: of the result.
      method: one of `METHODS`.
      box: what to resize of the image; None is all of it.

    Returns:
      uint8 [height, width, channels].
    """
    pixels = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    resized = pixels.resize((width, height), METHODS[method], box)
    return np.asarray(resized).reshape(height, width, image.shape[-1])


def interpolate(image: np.ndarray, height: int, width: int, method: str, box: Box) -> np.ndarray:
    """Resizes without antialiasing: between two or four pixels in each direction.

    Args and result: see `resize`.
    """
    left, top, right, bottom = box
    rows = _weights(top, bottom, image.shape[0], height, method)
    columns = _weights(left, right, image.shape[1], width, method)
    tall = np.tensordot(rows, image.astype(np.float32), 1)
    pixels = np.tensordot(columns, tall, (1, 1)).swapaxes(0, 1)
    return np.clip(np.round(pixels), 0, 255).astype(np.uint8)


def _weights(low: float, high: float, size: int, target: int, method: str) -> np.ndarray:
    """How much each pixel counts for each point: float32 [target, size], rows of sum 1."""
    places = low + (np.arange(target) + 0.5) * (high - low) / target
    far = abs(np.arange(size) + 0.5 - places[:, None])
    if method == "bilinear":
        weights = np.maximum(1 - far, 0)
    else:  # Keys 1981, a = -1/2
        near = (1.5 * far - 2.5) * far**2 + 1
        weights = np.where(far < 1, near, ((2.5 - 0.5 * far) * far - 4) * far + 2)
        weights = np.where(far < 2, weights, 0)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


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


def _reduce(image: np.ndarray, matrix: Matrix) -> tuple[np.ndarray, Matrix]:
    """Shrinks an image that a warp would sample much too thinly, so that nothing aliases.

    Args:
      image: uint8 [height, width, channels].
      matrix: target point -> image point.

    Returns:
      An image of the same type and channels, and the warp from target points to its points.
    """
    step = spacing(matrix)
    if max(step) <= FAR:
        return image, matrix
    height, width = image.shape[:2]
    rows = max(round(height / max(step[0], 1)), 1)
    columns = max(round(width / max(step[1], 1)), 1)
    zoom = (columns / width, 0.0, 0.0), (0.0, rows / height, 0.0)
    return resize(image, rows, columns), product(zoom, matrix)


def sample(
    image: np.ndarray,
    matrix: Matrix,
    target: int,
    fill: int | None,
) -> np.ndarray:
    """Samples an image bilinearly; what shrinks by up to `FAR` does not alias.

    Args:
      image: uint8 [height, width, channels], one or three channels.
      matrix: target point -> image point.
      target: side of the result.
      fill: gray level of what is outside the image; None repeats its edge.

    Returns:
      uint8 [target, target, channels].
    """
    image, matrix = _reduce(image, matrix)
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

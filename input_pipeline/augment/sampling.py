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

# Height and width, pixels.
Size = tuple[float, float]
# Left, top, right and bottom, pixels from the top left corner.
Box = tuple[float, float, float, float]
# Of a matrix: (x, y, 1) of the target -> one coordinate of the photo.
Row = tuple[float, float, float]
# Both coordinates, x first.
Matrix = tuple[Row, Row]

# Of what is outside a photo: a level for each channel; 'edge' repeats the photo's edge, 'reflect'
# mirrors the photo there, edge included, as Keras does, and 'blur' shows the photo's middle as
# large as the square around it, reduced to `BLURRED` pixels a side.
Fill = str | tuple[int, ...]
BLURRED = 16

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


def padded(size: Size, target: int) -> Matrix:
    """Maps the target square onto the whole of an image in its middle, as Pillow's `ImageOps.pad`.

    Args:
      size: height and width of the image; its longer side becomes the target's.
      target: side of the square. The image takes whole pixels of it.
    """
    tall, wide = (max(round(length / max(size) * target), 1) for length in size)
    top, left = round((target - tall) / 2), round((target - wide) / 2)
    down, across = size[0] / tall, size[1] / wide
    return (across, 0.0, -left * across), (0.0, down, -top * down)


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
    image: np.ndarray,
    matrix: Matrix,
    target: int,
    fill: Fill = "edge",
    *,
    method: str = "bilinear",
    antialias: bool = True,
    cut: bool = False,
) -> np.ndarray:
    """Resizes what a window shows of an image, fills the rest, then mirrors; exact but slow.

    Args:
      image: uint8 [height, width, channels].
      matrix: target point -> image point; one that only scales, mirrors and shifts.
      target: side of the result.
      fill: of what is outside the image, of which whole pixels of the result are filled.
      method: 'bilinear' or 'bicubic'.
      antialias: whether the kernel widens when the image shrinks.
      cut: whether the kernel sees only the pixels that the window covers.

    Returns:
      uint8 [target, target, channels].
    """
    (a, _, c), (_, e, f) = matrix
    height, width, channels = image.shape
    left, right, before, after = _shown(c, a, target, width)
    top, bottom, above, below = _shown(f, e, target, height)
    x = y = 0
    if cut:  # whole pixels, as torchvision cuts before it resizes
        x, x_end = covered(left, right, width)
        y, y_end = covered(top, bottom, height)
        image = image[y:y_end, x:x_end]
    box = (
        max(left - x, 0.0),
        max(top - y, 0.0),
        min(right - x, image.shape[1]),
        min(bottom - y, image.shape[0]),
    )
    size = target - above - below, target - before - after
    result = (resize if antialias else interpolate)(image, *size, method, box)
    result = _surround(result, (above, below, before, after), fill)
    result = result[:: -1 if e < 0 else 1, :: -1 if a < 0 else 1]
    return result.reshape(target, target, channels)


def _shown(start: float, along: float, target: int, size: int) -> tuple[float, float, int, int]:
    """What a window covers in one direction: from, to; and pixels to fill before and after it."""
    low, high = sorted((start, start + along * target))
    before = min(max(round(-low / abs(along)), 0), target - 1)
    after = min(max(round((high - size) / abs(along)), 0), target - 1 - before)
    return low, high, before, after


def _surround(shown: np.ndarray, border: tuple[int, int, int, int], fill: Fill) -> np.ndarray:
    """Fills whole pixels above, below, before and after an image."""
    if not any(border):
        return shown
    if fill != "blur":
        return cv2.copyMakeBorder(shown, *border, _border(fill), value=_color(fill))
    above, below, before, after = border
    height, width, channels = shown.shape
    size = before + width + after, above + height + below
    result = cv2.resize(_middle(shown), size).reshape(*size[::-1], channels)
    result[above : above + height, before : before + width] = shown
    return result


def _middle(image: np.ndarray) -> np.ndarray:
    """The central square, of `BLURRED` pixels a side."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) / 2, (width - side) / 2
    return resize(image, BLURRED, BLURRED, box=(left, top, left + side, top + side))


def _around(image: np.ndarray, matrix: Matrix, target: int) -> Matrix:
    """Target point -> point of `_middle`, where that is as large as the square around the image."""
    (across, _, x), (_, down, y) = padded(image.shape[:2], target)
    across, down = (BLURRED / target / step for step in (across, down))
    return product(((across, 0.0, -x * across), (0.0, down, -y * down)), matrix)


def _border(fill: Fill) -> int:
    if fill == "reflect":
        return cv2.BORDER_REFLECT
    return cv2.BORDER_REPLICATE if isinstance(fill, str) else cv2.BORDER_CONSTANT


def _color(fill: Fill) -> tuple[int, ...]:
    return fill if isinstance(fill, tuple) else (0,)


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


def _soften(image: np.ndarray, matrix: Matrix) -> np.ndarray:
    down, across = (softening(step) for step in spacing(matrix))
    if not (down or across):
        return image
    rows, columns = (np.array([w, 1 - 2 * w, w]) for w in (across, down))
    return cv2.sepFilter2D(image, -1, rows, columns, borderType=cv2.BORDER_REPLICATE)


def sample(
    image: np.ndarray, matrix: Matrix, target: int, fill: Fill | None = "edge"
) -> np.ndarray:
    """Samples an image bilinearly; what shrinks by up to `FAR` does not alias.

    Args:
      image: uint8 [height, width, channels], one or three channels.
      matrix: target point -> image point.
      target: side of the result.
      fill: of what is outside the image; None is black, into which the image's edge blends. To
        blur or reflect, all of the image must be there.

    Returns:
      uint8 [target, target, channels].
    """
    image, matrix = _reduce(image, matrix)
    (a, b, c), (d, e, f) = matrix
    height, width, channels = image.shape
    if not (b or d or fill in (None, "reflect")):
        # Resizing, of what is just whole pixels and perhaps mirrored, is faster than warping.
        left, right, before, after = _shown(c, a, target, width)
        top, bottom, above, below = _shown(f, e, target, height)
        x, x_end = covered(left, right, width)
        y, y_end = covered(top, bottom, height)
        step_x, step_y = abs(a), abs(e)
        off = (
            left + before * step_x - x,
            right - after * step_x - x_end,
            top + above * step_y - y,
            bottom - below * step_y - y_end,
        )
        if max(map(abs, off)) < 2 * ROUNDING:
            image = _soften(image[y:y_end, x:x_end], matrix)
            size = target - before - after, target - above - below
            image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
            image = image.reshape(*size[::-1], channels)
            image = _surround(image, (above, below, before, after), fill)
            if a < 0 or e < 0:
                image = cv2.flip(image, MIRRORED[a < 0, e < 0])
            return image.reshape(target, target, channels)
    if fill == "blur":
        ones = np.ones((height, width, 1), np.float32)
        inside = warp(ones, matrix, target, target, (0,))
        middle = warp(_middle(image), _around(image, matrix, target), target, target, "edge")
        result = cv2.blendLinear(sample(image, matrix, target), middle, inside, 1 - inside)
        return result.reshape(target, target, channels)
    margin = 0 if fill == "edge" and not (b or d) else MARGIN
    if fill == "reflect":
        margin = max(height, width)
    left, right = seen((a, b, c), target, width, margin)
    top, bottom = seen((d, e, f), target, height, margin)
    image = _soften(image[top:bottom, left:right], matrix)
    moved = (a, b, c - left), (d, e, f - top)
    return warp(image, moved, target, target, fill or (0,))


def warp(
    image: np.ndarray,
    matrix: Matrix,
    height: int,
    width: int,
    fill: Fill,
) -> np.ndarray:
    """Samples an image bilinearly at each pixel of the result, and no more.

    Args:
      image: uint8 [h, w, channels].
      matrix: point of the result -> image point.
      height: of the result.
      width: of the result.
      fill: of what is outside the image; not to blur.

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
        borderMode=_border(fill),
        borderValue=_color(fill),
    )
    return result.reshape(height, width, -1)

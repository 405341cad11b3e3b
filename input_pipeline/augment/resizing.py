"""Exact resizing: every pixel that the kernel covers counts."""

import numpy as np
from PIL import Image

METHODS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}

# Left, top, right and bottom, pixels from the top left corner.
Box = tuple[float, float, float, float]


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

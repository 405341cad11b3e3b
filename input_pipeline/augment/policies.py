"""RandAugment and AutoAugment: chains of single changes drawn from a list.

RandAugment: Cubuk et al. 2019, arXiv:1909.13719, with its 14 changes. AutoAugment: Cubuk et al.
2018, arXiv:1805.09501, table 9, the policy found on ImageNet. Strengths run as in torchvision; what
comes into view from outside is gray.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import ClassVar

import cv2
import numpy as np

from input_pipeline.augment import sampling
from input_pipeline.augment.color import Photometric, mean_luma, to_gray
from input_pipeline.augment.operation import number
from input_pipeline.order import Seed

# (image, strength 0 to 1, sign +1 or -1) -> image; uint8 [height, width, channels]
Change = Callable[[np.ndarray, float, int], np.ndarray]

GRAY = (128, 128, 128)
MOST_FACTOR = 0.9
MOST_SHEAR = 0.3
MOST_SHIFT = 150 / 331
MOST_TURN = math.radians(30)
MOST_BITS = 4

LEVELS = np.arange(256)
# Pillow's smoothing.
SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13


def _move(image: np.ndarray, matrix: sampling.Matrix) -> np.ndarray:
    """Warps by the output -> input matrix."""
    height, width = image.shape[:2]
    return sampling.warp(image, matrix, height, width, GRAY)


def _shear(image: np.ndarray, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    """Leaves the upper left corner where it is."""
    return _move(image, ((1.0, x, 0.0), (y, 1.0, 0.0)))


def _shift(image: np.ndarray, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    """By fractions of the width and the height."""
    height, width = image.shape[:2]
    return _move(image, ((1.0, 0.0, x * width), (0.0, 1.0, y * height)))


def _rotate(image: np.ndarray, strength: float, sign: int) -> np.ndarray:
    """About the center."""
    angle = sign * strength * MOST_TURN
    cos, sin = math.cos(angle), math.sin(angle)
    y, x = (length / 2 for length in image.shape[:2])
    return _move(image, ((cos, -sin, x - cos * x + sin * y), (sin, cos, y - sin * x - cos * y)))


def _factor(strength: float, sign: int) -> float:
    """Of the way from another image to this one; beyond 1 it leads away from the other."""
    return 1 + sign * strength * MOST_FACTOR


def _look_up(image: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Replaces levels by what a table [256], or one for each channel [256, c], has for them.

    As Pillow's tables do, it drops what is behind the point.
    """
    table = np.clip(table, 0, 255).astype(np.uint8)
    return cv2.LUT(image, table.reshape(1, 256, -1)).reshape(image.shape)


def _blend_level(image: np.ndarray, level: float, factor: float) -> np.ndarray:
    # In single precision, as Pillow does.
    steps = np.float32(factor) * (LEVELS - level).astype(np.float32)
    return _look_up(image, np.float32(level) + steps)


def _brightness(image: np.ndarray, strength: float, sign: int) -> np.ndarray:
    return _blend_level(image, 0, _factor(strength, sign))


def _contrast(image: np.ndarray, strength: float, sign: int) -> np.ndarray:
    return _blend_level(image, math.floor(mean_luma(image) + 0.5), _factor(strength, sign))


def _blend(image: np.ndarray, other: np.ndarray, factor: float) -> np.ndarray:
    return cv2.addWeighted(image, factor, other, 1 - factor, 0).reshape(image.shape)


def _color(image: np.ndarray, strength: float, sign: int) -> np.ndarray:
    if image.shape[-1] == 1:
        return image
    return _blend(image, to_gray(image), _factor(strength, sign))


def _sharpness(image: np.ndarray, strength: float, sign: int) -> np.ndarray:
    smooth = cv2.filter2D(image, -1, SMOOTH).reshape(image.shape)
    # The border stays as it is.
    smooth[[0, -1]] = image[[0, -1]]
    smooth[:, [0, -1]] = image[:, [0, -1]]
    return _blend(image, smooth, _factor(strength, sign))


def _posterize(image: np.ndarray, strength: float, sign: int) -> np.ndarray:
    return image & np.uint8(256 - 2 ** round(strength * MOST_BITS))


def _solarize(image: np.ndarray, strength: float, sign: int) -> np.ndarray:
    return _look_up(image, np.where(255 * (1 - strength) <= LEVELS, 255 - LEVELS, LEVELS))


def _invert(image: np.ndarray, strength: float, sign: int) -> np.ndarray:
    return 255 - image


def _by_channel(image: np.ndarray, table_of: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Changes each channel by a table [256] made from how often each level is in it, [256]."""
    counts = (
        cv2.calcHist([image], [channel], None, [256], (0, 256)).ravel().astype(int)
        for channel in range(image.shape[-1])
    )
    return _look_up(image, np.stack([table_of(count) for count in counts], -1))


def _autocontrast(image: np.ndarray, strength: float, sign: int) -> np.ndarray:
    def table_of(counts: np.ndarray) -> np.ndarray:
        low, high = np.flatnonzero(counts)[[0, -1]].tolist()
        if low == high:
            return LEVELS
        scale = 255 / (high - low)
        return LEVELS * scale - low * scale

    return _by_channel(image, table_of)


def _equalize(image: np.ndarray, strength: float, sign: int) -> np.ndarray:
    def table_of(counts: np.ndarray) -> np.ndarray:
        step = (counts.sum() - counts[counts > 0][-1]) // 255
        return (step // 2 + counts.cumsum() - counts) // step if step else LEVELS

    return _by_channel(image, table_of)


def _identity(image: np.ndarray, strength: float, sign: int) -> np.ndarray:
    return image


CHANGES: dict[str, Change] = {
    "identity": _identity,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
    "rotate": _rotate,
    "solarize": _solarize,
    "color": _color,
    "posterize": _posterize,
    "contrast": _contrast,
    "brightness": _brightness,
    "sharpness": _sharpness,
    "shear_x": lambda image, strength, sign: _shear(image, x=sign * strength * MOST_SHEAR),
    "shear_y": lambda image, strength, sign: _shear(image, y=sign * strength * MOST_SHEAR),
    "shift_x": lambda image, strength, sign: _shift(image, x=sign * strength * MOST_SHIFT),
    "shift_y": lambda image, strength, sign: _shift(image, y=sign * strength * MOST_SHIFT),
}
WITH_INVERT = {**CHANGES, "invert": _invert}


def _sign(draw: float) -> int:
    return 1 if draw < 0.5 else -1


@dataclasses.dataclass(frozen=True)
class RandAugment(Photometric):
    """`layers` changes one after the other, each drawn from 14, all of one magnitude (0 to 30)."""

    layers: int = number(2, 1, 10)
    magnitude: float = number(9.0, 0, 30)

    @property
    def draws(self) -> int:  # type: ignore[override]
        """Two for each layer."""
        return 2 * self.layers

    def apply(self, image: np.ndarray, draws: Sequence[float], seed: Seed) -> np.ndarray:
        """See `Photometric`."""
        changes = list(CHANGES.values())
        for layer in range(self.layers):
            single = changes[int(draws[2 * layer] * len(changes))]
            image = single(image, self.magnitude / 30, _sign(draws[2 * layer + 1]))
        return image


# Pairs of (change, probability, magnitude 0 to 9).
POLICY = (
    (("posterize", 0.4, 8), ("rotate", 0.6, 9)),
    (("solarize", 0.6, 5), ("autocontrast", 0.6, 0)),
    (("equalize", 0.8, 0), ("equalize", 0.6, 0)),
    (("posterize", 0.6, 7), ("posterize", 0.6, 6)),
    (("equalize", 0.4, 0), ("solarize", 0.2, 4)),
    (("equalize", 0.4, 0), ("rotate", 0.8, 8)),
    (("solarize", 0.6, 3), ("equalize", 0.6, 0)),
    (("posterize", 0.8, 5), ("equalize", 1.0, 0)),
    (("rotate", 0.2, 3), ("solarize", 0.6, 8)),
    (("equalize", 0.6, 0), ("posterize", 0.4, 6)),
    (("rotate", 0.8, 8), ("color", 0.4, 0)),
    (("rotate", 0.4, 9), ("equalize", 0.6, 0)),
    (("equalize", 0.0, 0), ("equalize", 0.8, 0)),
    (("invert", 0.6, 0), ("equalize", 1.0, 0)),
    (("color", 0.6, 4), ("contrast", 1.0, 8)),
    (("rotate", 0.8, 8), ("color", 1.0, 2)),
    (("color", 0.8, 8), ("solarize", 0.8, 7)),
    (("sharpness", 0.4, 7), ("invert", 0.6, 0)),
    (("shear_x", 0.6, 5), ("equalize", 1.0, 0)),
    (("color", 0.4, 0), ("equalize", 0.6, 0)),
    (("equalize", 0.4, 0), ("solarize", 0.2, 4)),
    (("solarize", 0.6, 5), ("autocontrast", 0.6, 0)),
    (("invert", 0.6, 0), ("equalize", 1.0, 0)),
    (("color", 0.6, 4), ("contrast", 1.0, 8)),
    (("equalize", 0.8, 0), ("equalize", 0.6, 0)),
)


@dataclasses.dataclass(frozen=True)
class AutoAugment(Photometric):
    """One of the 25 pairs of changes of the ImageNet policy."""

    draws: ClassVar[int] = 5

    def apply(self, image: np.ndarray, draws: Sequence[float], seed: Seed) -> np.ndarray:
        """See `Photometric`."""
        pair = POLICY[int(draws[0] * len(POLICY))]
        for turn, (name, probability, magnitude) in enumerate(pair):
            happens, sign = draws[1 + 2 * turn : 3 + 2 * turn]
            if happens < probability:
                image = WITH_INVERT[name](image, magnitude / 9, _sign(sign))
        return image

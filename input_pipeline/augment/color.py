"""Photometric operations: on uint8 [height, width, channels], one or three channels.

Formulas are those of Pillow's ImageEnhance and of torchvision. Strengths are factors: brightness
0.2 multiplies by something uniform in 0.8 to 1.2. Each change rounds once, at its end.
"""

import abc
import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import ClassVar

import cv2
import numpy as np
import scipy.special

from efficientnet.errors import UserError
from input_pipeline.augment.operation import Operation, log_uniform, number, span, uniform
from input_pipeline.augment.sampling import resize
from input_pipeline.order import Seed, generator

# ITU-R 601, as in Pillow and JPEG.
LUMA = (0.299, 0.587, 0.114)

# Rows whose colors are changed at a time as float32, which then stay in the cache.
STRIP = 32


@dataclasses.dataclass(frozen=True)
class Photometric(Operation, abc.ABC):
    """An operation on colors."""

    @abc.abstractmethod
    def apply(self, image: np.ndarray, draws: Sequence[float], seed: Seed) -> np.ndarray:
        """Draws and applies one change.

        Args:
          image: uint8 [height, width, channels]; stays as it is.
          draws: as many as `self.draws`.
          seed: this operation's own, for draws of every pixel.

        Returns:
          uint8 of the same shape.
        """


def mean_luma(image: np.ndarray) -> float:
    """The mean brightness of an image of one or three channels, 0..255."""
    weights = LUMA if image.shape[-1] == 3 else (1.0,)
    return sum(w * mean for w, mean in zip(weights, cv2.mean(image), strict=False))


def to_gray(image: np.ndarray) -> np.ndarray:
    """The luma of an image of three channels, in each of them."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def recolor(image: np.ndarray, brightness: float, contrast: float, saturation: float) -> np.ndarray:
    """Multiplies by factors of brightness, contrast about the mean luma, and saturation.

    Args:
      image: uint8 [height, width, channels].
      brightness: 1 changes nothing, as below.
      contrast: applied to the brightened image.
      saturation: applied to the result of both.

    Returns:
      uint8 of the same shape, rounded and clipped once.
    """
    channels = image.shape[-1]
    scale = brightness * contrast
    shift = (1 - contrast) * brightness * mean_luma(image)
    weights = LUMA if channels == 3 else (1.0,)
    gray = [scale * (1 - saturation) * weight for weight in weights]
    mix = [[*gray, shift] for _ in range(channels)]
    for channel in range(channels):
        mix[channel][channel] += scale * saturation
    return cv2.transform(image, np.array(mix)).reshape(image.shape)


def turn_hue(image: np.ndarray, turn: float) -> np.ndarray:
    """Turns the color circle by a fraction of it; keeps what HSV calls S and V.

    Args:
      image: uint8 [height, width, 3].
      turn: of the circle, -1 to 1.

    Returns:
      uint8 of the same shape.
    """
    result = np.empty(image.shape, np.uint8)
    for top in range(0, len(image), STRIP):
        strip = image[top : top + STRIP].astype(np.float32)
        colors: np.ndarray = cv2.cvtColor(strip, cv2.COLOR_RGB2HSV)
        colors[..., 0] += 360 * (turn % 1)
        colors = cv2.cvtColor(colors, cv2.COLOR_HSV2RGB)
        cv2.convertScaleAbs(colors, dst=result[top : top + STRIP])
    return result


def _factor(draw: float, strength: float) -> float:
    return uniform(draw, max(0.0, 1 - strength), 1 + strength)


@dataclasses.dataclass(frozen=True)
class ColorJitter(Photometric):
    """Brightness, contrast about the mean luma, saturation about gray, and hue, in this order.

    The first three are one affine map of the colors, so values are clipped once, after them.

    Attributes:
      brightness: strength.
      contrast: strength.
      saturation: strength.
      hue: largest turn of the color circle each way, as a fraction of it, up to 0.5.
    """

    brightness: float = number(0.0, 0, 10)
    contrast: float = number(0.0, 0, 10)
    saturation: float = number(0.0, 0, 10)
    hue: float = number(0.0, 0, 0.5)
    draws: ClassVar[int] = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.brightness or self.contrast or self.saturation or self.hue):
            raise UserError("every strength is 0, which changes nothing: give one, such as 0.2")

    def apply(self, image: np.ndarray, draws: Sequence[float], seed: Seed) -> np.ndarray:
        """See `Photometric`."""
        strengths = (self.brightness, self.contrast, self.saturation)
        if any(strengths):
            image = recolor(image, *map(_factor, draws, strengths))
        if self.hue and image.shape[-1] == 3:
            image = turn_hue(image, (2 * draws[3] - 1) * self.hue)
        return image


@dataclasses.dataclass(frozen=True)
class ChannelContrast(Photometric):
    """Contrast of each channel about its own mean, by one factor, as Keras's RandomContrast."""

    contrast: float = number(0.1, 0, 10)
    draws: ClassVar[int] = 1

    def apply(self, image: np.ndarray, draws: Sequence[float], seed: Seed) -> np.ndarray:
        """See `Photometric`."""
        factor = _factor(draws[0], self.contrast)
        means = cv2.mean(image)[: image.shape[-1]]
        return _of_channels(image, [factor] * len(means), [(1 - factor) * mean for mean in means])


@dataclasses.dataclass(frozen=True)
class ChannelBrightness(Photometric):
    """Brightness of each channel, by a factor of its own."""

    brightness: float = number(0.2, 0, 10)
    draws: ClassVar[int] = 3

    def apply(self, image: np.ndarray, draws: Sequence[float], seed: Seed) -> np.ndarray:
        """See `Photometric`."""
        factors = [_factor(draw, self.brightness) for draw in draws[: image.shape[-1]]]
        return _of_channels(image, factors, [0.0] * len(factors))


def _of_channels(
    image: np.ndarray, factors: Sequence[float], shifts: Sequence[float]
) -> np.ndarray:
    """Multiplies each channel by a factor, and shifts it."""
    mix = np.column_stack([np.diag(factors), shifts])
    return cv2.transform(image, mix).reshape(image.shape)


@dataclasses.dataclass(frozen=True)
class Grayscale(Photometric):
    """Replaces colors by their luma with a probability; the number of channels stays."""

    probability: float = number(0.1, 0, 1)
    draws: ClassVar[int] = 1

    def apply(self, image: np.ndarray, draws: Sequence[float], seed: Seed) -> np.ndarray:
        """See `Photometric`."""
        if image.shape[-1] == 1 or draws[0] >= self.probability:
            return image
        return to_gray(image)


@dataclasses.dataclass(frozen=True)
class GaussianNoise(Photometric):
    """Adds independent normal noise to every value; `std` is in gray levels, 0..255."""

    std: float = number(10.0, 0, 255)
    noise: ClassVar[bool] = True

    def apply(self, image: np.ndarray, draws: Sequence[float], seed: Seed) -> np.ndarray:
        """See `Photometric`."""
        # A number of 16 bits for each value, of which each stands for as much of the distribution.
        chosen = generator(*seed).integers(0, 2**16, image.shape, np.uint16)
        noise = cv2.LUT(chosen, _normal_quantiles(self.std)).reshape(image.shape)
        return cv2.add(image, noise, dtype=cv2.CV_8U).reshape(image.shape)


@functools.lru_cache(maxsize=4)
def _normal_quantiles(std: float) -> np.ndarray:
    """The middles of 2^16 equal parts of a normal distribution, rounded: int16 [2^16]."""
    parts = (np.arange(2**16) + 0.5) / 2**16
    return np.round(std * scipy.special.ndtri(parts)).astype(np.int16)


@dataclasses.dataclass(frozen=True)
class DownUpSample(Photometric):
    """Shrinks by a factor uniform in `factor` and enlarges again: a photo of less detail."""

    factor: tuple[float, float] = span((1.0, 4.0), 1, 100)
    draws: ClassVar[int] = 1

    def apply(self, image: np.ndarray, draws: Sequence[float], seed: Seed) -> np.ndarray:
        """See `Photometric`."""
        factor = uniform(draws[0], *self.factor)
        height, width = image.shape[:2]
        small = resize(image, max(round(height / factor), 1), max(round(width / factor), 1))
        return resize(small, height, width)


@dataclasses.dataclass(frozen=True)
class RandomErasing(Photometric):
    """Covers a rectangle with gray, with a probability (Zhong et al. 2017, as in torchvision).

    Attributes:
      probability: of covering anything.
      scale: range of the covered part of the area, uniform.
      ratio: range of height / width, log-uniform.
      fill: gray level of the cover, 0..255.
    """

    probability: float = number(0.5, 0, 1)
    scale: tuple[float, float] = span((0.02, 0.33), 0, 1)
    ratio: tuple[float, float] = span((0.3, 3.3), 1e-2, 1e2)
    fill: float = number(128.0, 0, 255)
    draws: ClassVar[int] = 5

    def apply(self, image: np.ndarray, draws: Sequence[float], seed: Seed) -> np.ndarray:
        """See `Photometric`."""
        if draws[0] >= self.probability:
            return image
        height, width = image.shape[:2]
        area = uniform(draws[1], *self.scale) * height * width
        ratio = log_uniform(draws[2], *self.ratio)
        tall = min(round(math.sqrt(area * ratio)), height)
        wide = min(round(math.sqrt(area / ratio)), width)
        top = math.floor(draws[3] * (height - tall + 1))
        left = math.floor(draws[4] * (width - wide + 1))
        image = image.copy()
        image[top : top + tall, left : left + wide] = round(self.fill)
        return image

"""Photometric operations: on float32 [height, width, channels] in 0..255, one or three channels.

Formulas are those of Pillow's ImageEnhance and of torchvision. Strengths are factors: brightness
0.2 multiplies by something uniform in 0.8 to 1.2. Each operation ends within 0..255.
"""

import abc
import dataclasses
from collections.abc import Sequence
from typing import ClassVar

from efficientnet.errors import UserError
from input_pipeline.arguments import between, pair
from input_pipeline.decode import LUMA
from input_pipeline.quiet_tensorflow import tf


@dataclasses.dataclass(frozen=True)
class Photometric(abc.ABC):
    """An operation on colors.

    Attributes:
      draws: how many uniform numbers in [0, 1) it uses.
    """

    draws: ClassVar[int] = 0

    @abc.abstractmethod
    def apply(self, image: tf.Tensor, draws: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Draws and applies one change.

        Args:
          image: float32 [height, width, channels], 0..255.
          draws: float32 [self.draws].
          seed: int64 [2], this operation's own, for draws of every pixel.

        Returns:
          float32 of the same shape.
        """


def luma(image: tf.Tensor) -> tf.Tensor:
    """Brightness [height, width, 1] of an image of one or three channels."""
    return image if image.shape[-1] == 1 else image @ tf.constant(LUMA)[:, None]


def clip(image: tf.Tensor) -> tf.Tensor:
    """Brings values back into 0..255."""
    return tf.clip_by_value(image, 0.0, 255.0)


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

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    draws: ClassVar[int] = 4

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            between(name, getattr(self, name), 0, 10)
        between("hue", self.hue, 0, 0.5)
        if not (self.brightness or self.contrast or self.saturation or self.hue):
            raise UserError("every strength is 0, which changes nothing: give one, such as 0.2")

    def factors(self, draws: Sequence[float]) -> list[float]:
        """Draws the factors of brightness, contrast and saturation."""
        strengths = (self.brightness, self.contrast, self.saturation)
        ends = ((max(0.0, 1 - strength), 1 + strength) for strength in strengths)
        return [low + (high - low) * draw for (low, high), draw in zip(ends, draws, strict=False)]

    def apply(self, image: tf.Tensor, draws: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """See `Photometric`."""
        brightness, contrast, saturation = self.factors(tf.unstack(draws))
        channels = image.shape[-1]
        weights = tf.constant(LUMA if channels == 3 else (1.0,))
        shift = (1 - contrast) * brightness * tf.reduce_sum(tf.reduce_mean(image, [0, 1]) * weights)
        to_gray = tf.tile(weights[:, None], [1, channels])
        mix = saturation * tf.eye(channels) + (1 - saturation) * to_gray
        image = clip(image @ (brightness * contrast * mix) + shift)
        if self.hue and channels == 3:
            turn = (2 * draws[3] - 1) * self.hue
            image = 255 * tf.image.adjust_hue(image / 255, turn)
        return image


@dataclasses.dataclass(frozen=True)
class Brightness(ColorJitter):
    """Brightness alone."""

    brightness: float = 0.2
    contrast: float = dataclasses.field(default=0.0, init=False)
    saturation: float = dataclasses.field(default=0.0, init=False)
    hue: float = dataclasses.field(default=0.0, init=False)


@dataclasses.dataclass(frozen=True)
class Contrast(ColorJitter):
    """Contrast alone."""

    brightness: float = dataclasses.field(default=0.0, init=False)
    contrast: float = 0.1
    saturation: float = dataclasses.field(default=0.0, init=False)
    hue: float = dataclasses.field(default=0.0, init=False)


@dataclasses.dataclass(frozen=True)
class Saturation(ColorJitter):
    """Saturation alone."""

    brightness: float = dataclasses.field(default=0.0, init=False)
    contrast: float = dataclasses.field(default=0.0, init=False)
    saturation: float = 0.2
    hue: float = dataclasses.field(default=0.0, init=False)


@dataclasses.dataclass(frozen=True)
class Hue(ColorJitter):
    """Hue alone."""

    brightness: float = dataclasses.field(default=0.0, init=False)
    contrast: float = dataclasses.field(default=0.0, init=False)
    saturation: float = dataclasses.field(default=0.0, init=False)
    hue: float = 0.05


@dataclasses.dataclass(frozen=True)
class Grayscale(Photometric):
    """Replaces colors by their luma with a probability; the number of channels stays."""

    probability: float = 0.1
    draws: ClassVar[int] = 1

    def __post_init__(self) -> None:
        between("probability", self.probability, 0, 1)

    def apply(self, image: tf.Tensor, draws: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """See `Photometric`."""
        if image.shape[-1] == 1:
            return image
        gray = draws[0] < self.probability
        return tf.cond(gray, lambda: tf.tile(luma(image), [1, 1, 3]), lambda: image)


@dataclasses.dataclass(frozen=True)
class GaussianNoise(Photometric):
    """Adds independent normal noise to every value; `std` is in gray levels, 0..255."""

    std: float = 10.0

    def __post_init__(self) -> None:
        between("std", self.std, 0, 255)

    def apply(self, image: tf.Tensor, draws: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """See `Photometric`."""
        shape = tf.shape(image)
        noise = tf.random.stateless_normal(shape, seed, stddev=self.std, alg="philox")
        return clip(image + noise)


@dataclasses.dataclass(frozen=True)
class DownUpSample(Photometric):
    """Shrinks by a factor uniform in `factor` and enlarges again: a photo of less detail."""

    factor: tuple[float, float] = (1.0, 4.0)
    draws: ClassVar[int] = 1

    def __post_init__(self) -> None:
        pair("factor", self.factor, 1, 100)

    def apply(self, image: tf.Tensor, draws: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """See `Photometric`."""
        size = tf.shape(image)[:2]
        factor = self.factor[0] + (self.factor[1] - self.factor[0]) * draws[0]
        small = tf.maximum(tf.cast(tf.round(tf.cast(size, tf.float32) / factor), tf.int32), 1)
        reduced = tf.image.resize(image, small, antialias=True)
        return tf.ensure_shape(tf.image.resize(reduced, size), image.shape)


@dataclasses.dataclass(frozen=True)
class RandomErasing(Photometric):
    """Covers a rectangle with gray, with a probability (Zhong et al. 2017, as in torchvision).

    Attributes:
      probability: of covering anything.
      scale: range of the covered part of the area, uniform.
      ratio: range of height / width, log-uniform.
      fill: gray level of the cover, 0..255.
    """

    probability: float = 0.5
    scale: tuple[float, float] = (0.02, 0.33)
    ratio: tuple[float, float] = (0.3, 3.3)
    fill: float = 128.0
    draws: ClassVar[int] = 5

    def __post_init__(self) -> None:
        between("probability", self.probability, 0, 1)
        pair("scale", self.scale, 0, 1)
        pair("ratio", self.ratio, 1e-2, 1e2)
        between("fill", self.fill, 0, 255)

    def apply(self, image: tf.Tensor, draws: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """See `Photometric`."""
        size = tf.cast(tf.shape(image)[:2], tf.float32)
        area = (self.scale[0] + (self.scale[1] - self.scale[0]) * draws[1]) * size[0] * size[1]
        logs = tf.math.log(tf.constant(self.ratio))
        ratio = tf.exp(logs[0] + (logs[1] - logs[0]) * draws[2])
        sides = tf.sqrt(tf.stack([area * ratio, area / ratio]))
        sides = tf.minimum(tf.round(sides), size)
        corner = tf.floor(draws[3:5] * (size - sides + 1))
        return tf.cond(
            draws[0] < self.probability,
            lambda: cover(image, corner, corner + sides, self.fill),
            lambda: image,
        )


def cover(image: tf.Tensor, low: tf.Tensor, high: tf.Tensor, fill: float) -> tf.Tensor:
    """Fills rows low[0] to high[0] and columns low[1] to high[1] (exclusive) with a gray level."""
    rows = tf.range(tf.shape(image)[0], dtype=tf.float32)[:, None, None]
    columns = tf.range(tf.shape(image)[1], dtype=tf.float32)[None, :, None]
    inside = (rows >= low[0]) & (rows < high[0]) & (columns >= low[1]) & (columns < high[1])
    return tf.where(inside, fill, image)

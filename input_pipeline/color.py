"""Photometric operations: on float32 [height, width, channels] in 0..255, one or three channels.

Formulas and ranges are those of Pillow's ImageEnhance and torchvision; results are clipped to
0..255 after each operation.
"""

import abc
import dataclasses
from typing import ClassVar

from efficientnet.errors import UserError
from input_pipeline.arguments import between
from input_pipeline.quiet_tensorflow import tf

# ITU-R 601 luma, as in Pillow and JPEG.
LUMA = (0.299, 0.587, 0.114)


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
    if image.shape[-1] == 1:
        return image
    return tf.reduce_sum(image * tf.constant(LUMA), -1, keepdims=True)


def clip(image: tf.Tensor) -> tf.Tensor:
    """Brings values back into 0..255."""
    return tf.clip_by_value(image, 0.0, 255.0)


def _factor(draw: tf.Tensor, strength: float) -> tf.Tensor:
    """Uniform in [1 - strength, 1 + strength], never negative."""
    low = max(0.0, 1.0 - strength)
    return low + (1.0 + strength - low) * draw


@dataclasses.dataclass(frozen=True)
class ColorJitter(Photometric):
    """Brightness, then contrast, then saturation, each by a factor within 1 +- its strength."""

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    draws: ClassVar[int] = 3

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            between(name, getattr(self, name), 0, 10)
        if not (self.brightness or self.contrast or self.saturation):
            raise UserError("every strength is 0, which changes nothing: give brightness=0.2")

    def apply(self, image: tf.Tensor, draws: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """See `Photometric`."""
        if self.brightness:
            image = clip(image * _factor(draws[0], self.brightness))
        if self.contrast:
            factor = _factor(draws[1], self.contrast)
            image = clip(factor * image + (1 - factor) * tf.reduce_mean(luma(image)))
        if self.saturation and image.shape[-1] == 3:
            factor = _factor(draws[2], self.saturation)
            image = clip(factor * image + (1 - factor) * luma(image))
        return image

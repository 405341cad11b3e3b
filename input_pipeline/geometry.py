"""Geometric operations: each says where an output point comes from, as a matrix.

A matrix maps (x, y, 1) of an operation's output to its input, in pixels; pixel i spans [i, i+1].
Matrices of successive operations multiply to the one warp from the decoded photo to the target.
"""

import abc
import dataclasses
import math
from typing import ClassVar

from input_pipeline.arguments import between, one_of, pair
from input_pipeline.quiet_tensorflow import tf

METHODS = ("bilinear", "bicubic")


@dataclasses.dataclass(frozen=True)
class Geometric(abc.ABC):
    """An operation on positions.

    Attributes:
      draws: how many uniform numbers in [0, 1) it uses.
      resizes: whether its output is the target square.
      skews: whether it may turn or shear, so that lines of pixels do not stay lines of pixels, or
        show what lies outside the photo.
    """

    draws: ClassVar[int] = 0
    resizes: ClassVar[bool] = False
    skews: ClassVar[bool] = False

    @abc.abstractmethod
    def pull_back(
        self, size: tf.Tensor, target: int, draws: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws one transformation.

        Args:
          size: float32 [2], height and width of the input.
          target: side of the square that the whole specification ends in.
          draws: float32 [self.draws].

        Returns:
          float32 [3, 3] output point -> input point, and the output's size as float32 [2].
        """


def _matrix(*rows: tuple[object, object, object]) -> tf.Tensor:
    """float32 [3, 3] from two rows of scalars."""
    values = [tf.cast(value, tf.float32) for row in rows for value in row]
    return tf.reshape(tf.stack([*values, 0.0, 0.0, 1.0]), [3, 3])


def window(top: object, left: object, height: object, width: object, target: int) -> tf.Tensor:
    """Maps the target square onto a window of the input."""
    return _matrix((width / target, 0.0, left), (0.0, height / target, top))  # type: ignore[operator]


def _uniform(draw: tf.Tensor, low: float, high: float) -> tf.Tensor:
    return low + (high - low) * draw


def _symmetric(draw: tf.Tensor, limit: float) -> tf.Tensor:
    return _uniform(draw, -limit, limit)


@dataclasses.dataclass(frozen=True)
class Resize(Geometric):
    """The whole input squeezed into the target square.

    Attributes:
      method: 'bilinear' or 'bicubic'.
      antialias: whether the kernel widens when the photo shrinks.
    """

    method: str = "bilinear"
    antialias: bool = True
    resizes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        one_of("method", self.method, METHODS)
        one_of("antialias", self.antialias, (True, False))

    def pull_back(
        self, size: tf.Tensor, target: int, draws: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Geometric`."""
        return window(0.0, 0.0, size[0], size[1], target), tf.fill([2], float(target))


@dataclasses.dataclass(frozen=True)
class CenterCrop(Geometric):
    """The central square whose side is `fraction` of the shorter side, then resized.

    Attributes:
      fraction: of the shorter side, up to 1.
      method: 'bilinear' or 'bicubic'.
      antialias: whether the kernel widens when the photo shrinks.
    """

    fraction: float = 0.875
    method: str = "bilinear"
    antialias: bool = True
    resizes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        one_of("method", self.method, METHODS)
        one_of("antialias", self.antialias, (True, False))
        between("fraction", self.fraction, 0.01, 1)

    def pull_back(
        self, size: tf.Tensor, target: int, draws: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Geometric`."""
        side = tf.maximum(tf.round(self.fraction * tf.reduce_min(size)), 1.0)
        corner = tf.floor((size - side) / 2)
        return window(corner[0], corner[1], side, side, target), tf.fill([2], float(target))


@dataclasses.dataclass(frozen=True)
class RandomResizedCrop(Geometric):
    """A window of random area and aspect ratio, resized (Szegedy et al. 2015, as in torchvision).

    Of ten windows with area uniform in `scale` and log-uniform in `ratio` (width / height) the
    first that fits is taken, else the largest central one of admissible ratio.
    """

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    ATTEMPTS: ClassVar[int] = 10
    draws: ClassVar[int] = 2 * ATTEMPTS + 2
    resizes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        pair("scale", self.scale, 1e-4, 1)
        pair("ratio", self.ratio, 1e-2, 1e2)

    def pull_back(
        self, size: tf.Tensor, target: int, draws: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Geometric`."""
        height, width = size[0], size[1]
        area = _uniform(draws[: self.ATTEMPTS], *self.scale) * height * width
        logs = [math.log(ratio) for ratio in self.ratio]
        ratio = tf.exp(_uniform(draws[self.ATTEMPTS : 2 * self.ATTEMPTS], logs[0], logs[1]))
        widths, heights = tf.round(tf.sqrt(area * ratio)), tf.round(tf.sqrt(area / ratio))
        fits = (widths >= 1) & (heights >= 1) & (widths <= width) & (heights <= height)
        central_width = tf.minimum(width, tf.round(height * self.ratio[1]))
        central_height = tf.minimum(height, tf.round(width / self.ratio[0]))
        first = tf.argmax(tf.concat([fits, [True]], 0))
        crop_width = tf.concat([widths, [tf.maximum(central_width, 1.0)]], 0)[first]
        crop_height = tf.concat([heights, [tf.maximum(central_height, 1.0)]], 0)[first]
        # The central window sits in the middle, the others anywhere.
        place = tf.where(first < self.ATTEMPTS, draws[2 * self.ATTEMPTS :], [0.5, 0.5])
        top = tf.floor(place[0] * (height - crop_height + 1))
        left = tf.floor(place[1] * (width - crop_width + 1))
        matrix = window(top, left, crop_height, crop_width, target)
        return matrix, tf.fill([2], float(target))


@dataclasses.dataclass(frozen=True)
class FlipLeftRight(Geometric):
    """Mirrors left and right with a probability."""

    probability: float = 0.5
    draws: ClassVar[int] = 1

    def __post_init__(self) -> None:
        between("probability", self.probability, 0, 1)

    def pull_back(
        self, size: tf.Tensor, target: int, draws: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Geometric`."""
        flip = tf.cast(draws[0] < self.probability, tf.float32)
        return _matrix((1 - 2 * flip, 0.0, flip * size[1]), (0.0, 1.0, 0.0)), size


@dataclasses.dataclass(frozen=True)
class FlipUpDown(Geometric):
    """Mirrors top and bottom with a probability."""

    probability: float = 0.5
    draws: ClassVar[int] = 1

    def __post_init__(self) -> None:
        between("probability", self.probability, 0, 1)

    def pull_back(
        self, size: tf.Tensor, target: int, draws: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Geometric`."""
        flip = tf.cast(draws[0] < self.probability, tf.float32)
        return _matrix((1.0, 0.0, 0.0), (0.0, 1 - 2 * flip, flip * size[0])), size


@dataclasses.dataclass(frozen=True)
class Affine(Geometric):
    """Turn, shear, zoom and shift about the center, each uniform; outside the photo is black.

    As torchvision's RandomAffine: out = shift + zoom * turn(shear(in)), about the center.

    Attributes:
      rotate: largest turn, degrees each way.
      translate: largest shift each way, as a fraction of the height and width.
      scale: range of the zoom.
      shear: largest horizontal shear, degrees each way.
    """

    rotate: float = 0.0
    translate: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    shear: float = 0.0
    draws: ClassVar[int] = 5
    skews: ClassVar[bool] = True

    def __post_init__(self) -> None:
        between("rotate", self.rotate, 0, 360)
        between("translate", self.translate, 0, 1)
        pair("scale", self.scale, 1e-2, 1e2)
        between("shear", self.shear, 0, 80)

    def pull_back(
        self, size: tf.Tensor, target: int, draws: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Geometric`."""
        angle = _symmetric(draws[0], math.radians(self.rotate))
        shift_y = _symmetric(draws[1], self.translate) * size[0]
        shift_x = _symmetric(draws[2], self.translate) * size[1]
        zoom = _uniform(draws[3], *self.scale)
        shear = tf.tan(_symmetric(draws[4], math.radians(self.shear)))
        # The inverse of zoom * turn * shear is unshear * unturn / zoom.
        cos, sin = tf.cos(angle) / zoom, tf.sin(angle) / zoom
        a, b = cos - shear * sin, sin + shear * cos
        c, d = -sin, cos
        center_y, center_x = size[0] / 2, size[1] / 2
        from_x, from_y = center_x + shift_x, center_y + shift_y
        matrix = _matrix(
            (a, b, center_x - a * from_x - b * from_y), (c, d, center_y - c * from_x - d * from_y)
        )
        return matrix, size


@dataclasses.dataclass(frozen=True)
class Rotate(Affine):
    """Turns by up to `rotate` degrees each way."""

    rotate: float = 25.0


@dataclasses.dataclass(frozen=True)
class Translate(Affine):
    """Shifts by up to a fraction `translate` of the height and width each way."""

    rotate: float = dataclasses.field(default=0.0, init=False)
    translate: float = 0.1

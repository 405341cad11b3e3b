"""Geometric operations: each says where an output point comes from, as a matrix.

A matrix maps (x, y, 1) of an operation's output to (x, y) of its input, in pixels; pixel i spans
[i, i+1]. Matrices of successive operations multiply to the one warp from the decoded photo to the
target. They are made of Python's own numbers: NumPy takes longer over six of them than OpenCV over
the pixels.
"""

import abc
import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from efficientnet.errors import UserError
from input_pipeline.augment.color import LUMA
from input_pipeline.augment.operation import (
    Operation,
    choice,
    is_color,
    log_uniform,
    number,
    span,
    uniform,
)
from input_pipeline.augment.sampling import METHODS, Fill, Matrix, Size, padded, product

IDENTITY: Matrix = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)


@dataclasses.dataclass(frozen=True)
class Geometric(Operation, abc.ABC):
    """An operation on positions.

    Attributes:
      resizes: whether its output is the target square.
      skews: whether it may turn or shear, so that lines of pixels do not stay lines of pixels, or
        show what lies outside the photo.
    """

    resizes: ClassVar[bool] = False
    skews: ClassVar[bool] = False

    @abc.abstractmethod
    def pull_back(self, size: Size, target: int, draws: Sequence[float]) -> tuple[Matrix, Size]:
        """Draws one transformation.

        Args:
          size: of the input.
          target: side of the square that the whole specification ends in.
          draws: as many as `self.draws`.

        Returns:
          Output point -> input point; and the output's size.
        """


def compose(
    operations: Sequence[Geometric], size: Size, target: int, draws: Sequence[float]
) -> Matrix:
    """Multiplies the operations' matrices: target point -> photo point.

    Args:
      operations: in reading order.
      size: of the photo.
      target: side of the target square.
      draws: as many as the operations use.
    """
    matrix = IDENTITY
    position = 0
    for operation in operations:
        own = draws[position : position + operation.draws]
        step, size = operation.pull_back(size, target, own)
        matrix = product(matrix, step)
        position += operation.draws
    return matrix


def window(top: float, left: float, height: float, width: float, target: int) -> Matrix:
    """Maps the target square onto a window of the input."""
    return (width / target, 0.0, left), (0.0, height / target, top)


@dataclasses.dataclass(frozen=True)
class Resize(Geometric):
    """The whole input squeezed into the target square.

    Attributes:
      method: 'bilinear' or 'bicubic'.
      antialias: whether the kernel widens when the photo shrinks.
    """

    method: str = choice("bilinear", METHODS)
    antialias: bool = choice(True, (True, False))
    resizes: ClassVar[bool] = True

    def pull_back(self, size: Size, target: int, draws: Sequence[float]) -> tuple[Matrix, Size]:
        """See `Geometric`."""
        return window(0.0, 0.0, *size, target), (target, target)


@dataclasses.dataclass(frozen=True)
class CenterCrop(Geometric):
    """The central square whose side is `fraction` of the shorter side, then resized.

    Attributes:
      fraction: of the shorter side, up to 1.
      method: as of `Resize`; antialias too.
    """

    fraction: float = number(0.875, 0.01, 1)
    method: str = choice("bilinear", METHODS)
    antialias: bool = choice(True, (True, False))
    resizes: ClassVar[bool] = True

    def pull_back(self, size: Size, target: int, draws: Sequence[float]) -> tuple[Matrix, Size]:
        """See `Geometric`."""
        side = max(round(self.fraction * min(size)), 1)
        top, left = ((length - side) // 2 for length in size)
        return window(top, left, side, side, target), (target, target)


@dataclasses.dataclass(frozen=True)
class ResizeCenterCrop(Geometric):
    """The shorter side resized to `size` pixels, then the central square, as in torchvision.

    Attributes:
      size: pixels; None is the target's side / 0.875, which is 256 for 224.
      method: as of `Resize`; antialias too.
    """

    size: int | None = number(None, 1, 1e5)
    method: str = choice("bilinear", METHODS)
    antialias: bool = choice(True, (True, False))
    resizes: ClassVar[bool] = True

    def shorter(self, target: int) -> int:
        """Pixels of the resized photo's shorter side."""
        shorter = int(self.size or target / 0.875)
        if shorter < target:
            raise UserError(
                f"resize_center_crop: size={shorter} is less than the {target} pixels that are cut "
                "out of it: give more, or no size"
            )
        return shorter

    def pull_back(self, size: Size, target: int, draws: Sequence[float]) -> tuple[Matrix, Size]:
        """See `Geometric`."""
        shorter = self.shorter(target)
        height, width = (int(shorter * length // min(size)) for length in size)
        top, left = round((height - target) / 2), round((width - target) / 2)
        down, across = size[0] / height, size[1] / width
        return ((across, 0.0, left * across), (0.0, down, top * down)), (target, target)


@dataclasses.dataclass(frozen=True)
class Pad(Geometric):
    """The whole photo in the middle of the target square, as Pillow's `ImageOps.pad`.

    What operations beside it bring into view from outside the photo is filled as well.

    Attributes:
      fill: of what is outside: 'edge' repeats the photo's edge, 'blur' shows its middle out of
        focus; or a gray level or a color (red, green, blue), 0..255.
      method: as of `Resize`; antialias too.
    """

    fill: str | int | tuple[int, int, int] = "edge"
    method: str = choice("bilinear", METHODS)
    antialias: bool = choice(True, (True, False))
    resizes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fill not in ("edge", "blur") and not is_color(self.fill):
            raise UserError(
                f"fill={self.fill!r} should be 'edge', 'blur', a gray level from 0 to 255, or "
                "three of them (red, green, blue)"
            )

    def filling(self, channels: int) -> Fill:
        """What fills an image of so many channels."""
        if isinstance(self.fill, str):
            return self.fill
        color = np.broadcast_to(self.fill, 3)
        levels = color if channels == 3 else [color @ np.array(LUMA)]
        return tuple(round(float(level)) for level in levels)

    def pull_back(self, size: Size, target: int, draws: Sequence[float]) -> tuple[Matrix, Size]:
        """See `Geometric`."""
        return padded(size, target), (target, target)


@dataclasses.dataclass(frozen=True)
class RandomResizedCrop(Geometric):
    """A window of random area and aspect ratio, resized (Szegedy et al. 2015, as in torchvision).

    Of ten windows with area uniform in `scale` and log-uniform in `ratio` (width / height) the
    first that fits is taken, else the largest central one of admissible ratio.
    """

    scale: tuple[float, float] = span((0.08, 1.0), 1e-4, 1)
    ratio: tuple[float, float] = span((3 / 4, 4 / 3), 1e-2, 1e2)
    ATTEMPTS: ClassVar[int] = 10
    draws: ClassVar[int] = 2 * ATTEMPTS + 2
    resizes: ClassVar[bool] = True

    def pull_back(self, size: Size, target: int, draws: Sequence[float]) -> tuple[Matrix, Size]:
        """See `Geometric`."""
        height, width = size
        # The central window sits in the middle, the others anywhere.
        crop_width = max(min(width, round(height * self.ratio[1])), 1)
        crop_height = max(min(height, round(width / self.ratio[0])), 1)
        down = across = 0.5
        for attempt in range(self.ATTEMPTS):
            area = uniform(draws[attempt], *self.scale) * height * width
            ratio = log_uniform(draws[self.ATTEMPTS + attempt], *self.ratio)
            wide, tall = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 1 <= wide <= width and 1 <= tall <= height:
                crop_width, crop_height = wide, tall
                down, across = draws[2 * self.ATTEMPTS :]
                break
        top = math.floor(down * (height - crop_height + 1))
        left = math.floor(across * (width - crop_width + 1))
        return window(top, left, crop_height, crop_width, target), (target, target)


@dataclasses.dataclass(frozen=True)
class FlipLeftRight(Geometric):
    """Mirrors left and right with a probability."""

    probability: float = number(0.5, 0, 1)
    draws: ClassVar[int] = 1

    def pull_back(self, size: Size, target: int, draws: Sequence[float]) -> tuple[Matrix, Size]:
        """See `Geometric`."""
        flip = draws[0] < self.probability
        return ((-1 if flip else 1, 0, flip * size[1]), (0, 1, 0)), size


@dataclasses.dataclass(frozen=True)
class FlipUpDown(Geometric):
    """Mirrors top and bottom with a probability."""

    probability: float = number(0.5, 0, 1)
    draws: ClassVar[int] = 1

    def pull_back(self, size: Size, target: int, draws: Sequence[float]) -> tuple[Matrix, Size]:
        """See `Geometric`."""
        flip = draws[0] < self.probability
        return ((1, 0, 0), (0, -1 if flip else 1, flip * size[0])), size


@dataclasses.dataclass(frozen=True)
class Affine(Geometric):
    """Turn, shear, zoom and shift about the center, each uniform.

    As torchvision's RandomAffine: out = shift + zoom * turn(shear(in)), about the center.

    Attributes:
      rotate: largest turn, degrees each way.
      translate: largest shift each way, as a fraction of the height and width.
      scale: range of the zoom.
      shear: largest horizontal shear, degrees each way.
      fill: of what is outside the photo: 'black', or 'reflect' for the photo mirrored at its edge.
    """

    rotate: float = number(0.0, 0, 360)
    translate: float = number(0.0, 0, 1)
    scale: tuple[float, float] = span((1.0, 1.0), 1e-2, 1e2)
    shear: float = number(0.0, 0, 80)
    fill: str = choice("black", ("black", "reflect"))
    draws: ClassVar[int] = 5
    skews: ClassVar[bool] = True

    def pull_back(self, size: Size, target: int, draws: Sequence[float]) -> tuple[Matrix, Size]:
        """See `Geometric`."""
        most_turn, most_shear = math.radians(self.rotate), math.radians(self.shear)
        angle = uniform(draws[0], -most_turn, most_turn)
        shift_y = uniform(draws[1], -self.translate, self.translate) * size[0]
        shift_x = uniform(draws[2], -self.translate, self.translate) * size[1]
        zoom = uniform(draws[3], *self.scale)
        shear = math.tan(uniform(draws[4], -most_shear, most_shear))
        # The inverse of zoom * turn * shear is unshear * unturn / zoom.
        cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
        a, b = cos - shear * sin, sin + shear * cos
        c, d = -sin, cos
        center_y, center_x = size[0] / 2, size[1] / 2
        from_x, from_y = center_x + shift_x, center_y + shift_y
        first = a, b, center_x - a * from_x - b * from_y
        second = c, d, center_y - c * from_x - d * from_y
        return (first, second), size


@dataclasses.dataclass(frozen=True)
class Rotate(Affine):
    """Turns by up to `rotate` degrees each way."""

    rotate: float = number(25.0, 0, 360)


@dataclasses.dataclass(frozen=True)
class Translate(Affine):
    """Shifts by up to a fraction `translate` of the height and width each way."""

    rotate: float = dataclasses.field(default=0.0, init=False)
    translate: float = number(0.1, 0, 1)

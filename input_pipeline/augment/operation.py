"""What every operation has: arguments with the values that they may take, and draws."""

import dataclasses
import math
from collections.abc import Callable, Collection
from typing import Any, ClassVar

from efficientnet.errors import UserError


def number(default: float | None, low: float, high: float) -> Any:
    """A field that holds a number from low to high, or None if that is its default."""
    fits = _is_number(low, high)
    return _field(default, f"a number from {low:g} to {high:g}", fits)


def span(default: tuple[float, float], low: float, high: float) -> Any:
    """A field that holds (a, b) with low <= a <= b <= high."""
    fits = _is_number(low, high)

    def both(value: Any) -> bool:
        pair = isinstance(value, tuple | list) and len(value) == 2
        return pair and all(map(fits, value)) and value[0] <= value[1]

    return _field(default, f"two numbers (from, to) within {low:g} to {high:g}", both)


def choice(default: Any, choices: Collection[Any]) -> Any:
    """A field that holds one of the choices."""
    return _field(default, f"one of {', '.join(map(str, choices))}", list(choices).__contains__)


def uniform(draw: float, low: float, high: float) -> float:
    """Makes a number uniform in [low, high) from one that is so in [0, 1)."""
    return low + (high - low) * draw


def log_uniform(draw: float, low: float, high: float) -> float:
    """The same of a number whose logarithm is uniform."""
    return math.exp(uniform(draw, math.log(low), math.log(high)))


def is_color(value: Any) -> bool:
    """Whether this is a gray level, or three levels of red, green and blue, 0..255."""
    levels = value if isinstance(value, tuple | list) else (value,)
    return len(levels) in (1, 3) and all(map(_is_number(0, 255), levels))


def _is_number(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
    )


def _field(default: Any, expected: str, fits: Callable[[Any], bool]) -> Any:
    return dataclasses.field(default=default, metadata={"expected": expected, "fits": fits})


@dataclasses.dataclass(frozen=True)
class Operation:
    """A change of an image; its fields are the arguments in a specification.

    Raises:
      UserError: an argument has a wrong value; the parser adds the name of the operation.

    Attributes:
      draws: how many uniform numbers in [0, 1) it uses.
      noise: whether it draws for every pixel besides.
    """

    draws: ClassVar[int] = 0
    noise: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.metadata and value is not field.default and not field.metadata["fits"](value):
                raise UserError(f"{field.name}={value!r} should be {field.metadata['expected']}")

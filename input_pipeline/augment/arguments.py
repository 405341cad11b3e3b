"""Checks of the numbers in a specification; the parser adds the name of the operation."""

from efficientnet.errors import UserError


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def between(name: str, value: object, low: float, high: float) -> None:
    """Raises a UserError unless `value` is a number from low to high."""
    if not _is_number(value) or not low <= value <= high:  # type: ignore[operator]
        raise UserError(f"{name}={value!r} should be a number from {low:g} to {high:g}")


def pair(name: str, value: object, low: float, high: float) -> None:
    """Raises a UserError unless `value` is (a, b) with low <= a <= b <= high."""
    if (
        not isinstance(value, tuple | list)
        or len(value) != 2
        or not all(_is_number(number) for number in value)
        or not low <= value[0] <= value[1] <= high
    ):
        raise UserError(
            f"{name}={value!r} should be two numbers (from, to) within {low:g} to {high:g}"
        )


def one_of(name: str, value: object, choices: tuple[object, ...]) -> None:
    """Raises a UserError unless `value` is one of the choices."""
    if value not in choices:
        raise UserError(f"{name}={value!r} should be one of {', '.join(map(str, choices))}")

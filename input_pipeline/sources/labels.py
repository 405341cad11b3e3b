"""Labels as they stand in the data, and the classes that they name."""

import decimal
import logging
import re
import reprlib
import unicodedata
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from efficientnet.errors import UserError

log = logging.getLogger(__name__)

NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def text_of(value: object, row: str) -> str:
    """Returns the name of the class that a label stands for.

    A text is the name as it stands. Numbers are named by their digits, whole floats as integers.

    Args:
      value: the label; null, NaN, fractions and lists are none.
      row: where it stands, for the message.

    Raises:
      UserError: it is no label.
    """
    plain = value.tolist() if isinstance(value, np.generic | np.ndarray) else value
    name = plain.decode("utf-8", "replace") if isinstance(plain, bytes) else plain
    if isinstance(name, float) and name.is_integer():
        name = int(name)
    text = str(name) if isinstance(name, str | int) else ""
    if text.strip() in ("", "nan", "NaN") or "\ufffd" in text:
        raise UserError(
            f"{row} has label {reprlib.repr(plain)}: expected one name or whole number for each "
            "photo: correct the label or leave it out"
        )
    return text


def names_of(labels: Iterable[str], place: str) -> list[str]:
    """Returns the names of the classes that occur: numbers in their order, others sorted as text.

    Args:
      labels: results of `text_of`.
      place: where they were read, for messages.
    """
    found = sorted(set(labels))
    if all(map(NUMBER.fullmatch, found)):
        found.sort(key=decimal.Decimal)
    check_names(found, place)
    return found


def check_names(names: Sequence[str], place: str) -> None:
    """Warns of classes whose names differ only in case, in spaces or as numbers are written.

    Raises:
      UserError: two names are equal, or look equal.
    """
    for first, second in _alike(names, _seen):
        how = "twice" if first == second else f"and {second!a}, which look the same"
        raise UserError(f"{place} has the class {first!a} {how}: give each class one name")
    similar = list(_alike(names, _meant))
    if similar:
        said = ", ".join(f"{first!r} and {second!r}" for first, second in similar[:5])
        log.warning("%s has similar names of different classes: %s", place, said)


def positions(
    labels: Sequence[str],
    row: Callable[[int], str],
    names: Sequence[str],
    place: str,
    numbered: bool,
) -> list[int]:
    """Returns the place of each label among the names of the classes.

    Args:
      labels: results of `text_of`.
      row: what messages call a label's row.
      names: of the classes.
      place: where the names were read, for messages.
      numbered: whether the labels are numbers from 0 in the order of the names.

    Raises:
      UserError: a label is of no class.
    """
    number_of = {str(n) if numbered else name: n for n, name in enumerate(names)}
    for index, label in enumerate(labels):
        if label not in number_of:
            raise UserError(
                f"{row(index)} has label {label!r}, which is none of the {len(names)} classes of "
                f"{place}: correct it or leave it out"
            )
    return [number_of[label] for label in labels]


def _alike(names: Sequence[str], key: Callable[[str], object]) -> Iterable[tuple[str, str]]:
    first: dict[object, str] = {}
    for name in names:
        if key(name) in first:
            yield first[key(name)], name
        first.setdefault(key(name), name)


def _seen(name: str) -> str:
    """Returns a name as it looks: composed, without format characters, each space the same."""
    visible = "".join(
        c for c in unicodedata.normalize("NFC", name) if unicodedata.category(c) != "Cf"
    )
    return " ".join(visible.split())


def _meant(name: str) -> object:
    return decimal.Decimal(name) if NUMBER.fullmatch(name) else "".join(name.casefold().split())

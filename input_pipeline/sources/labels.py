"""Labels as they stand in the data, and the classes that they name."""

import decimal
import logging
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from efficientnet.errors import UserError

log = logging.getLogger(__name__)

NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
EXPECTED = "expected one name or whole number for each photo: correct the label or leave it out"


def text_of(value: object) -> str:
    """Returns the name of the class that a label stands for; '' if it is none.

    A text is the name as it stands. Numbers are named by their digits, whole floats as integers.
    Null, NaN, fractions and lists are no labels.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    text = str(value) if isinstance(value, str | int) else ""
    return "" if text.strip() in ("", "nan", "NaN") or "\ufffd" in text else text


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


def positions(labels: Sequence[str], names: Sequence[str], numbered: bool = False) -> list[int]:
    """Returns the place of each label among the names; -1 for a label of no class.

    Args:
      labels: results of `text_of`.
      names: of the classes.
      numbered: whether the labels are numbers from 0 in the order of the names.
    """
    place = {str(label) if numbered else name: label for label, name in enumerate(names)}
    return [place.get(label, -1) for label in labels]


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

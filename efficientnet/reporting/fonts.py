"""Names in plots, whose font has the letters of only some languages; pages show all."""

import functools
import logging
import textwrap
from collections.abc import Sequence

from matplotlib import font_manager

from efficientnet.paths import printable

log = logging.getLogger(__name__)

CAPTION_LETTERS = 24
LEGEND_LETTERS = 60


def drawable(names: Sequence[str], letters: int = CAPTION_LETTERS, lines: int = 1) -> list[str]:
    """Returns names for texts of plots, as they stand: '$' starts no formula, '_' hides no label.

    Long names lose their middle. Those that the font can't draw are replaced by their numbers.

    Args:
      names: of classes, runs or whatever else has any letters.
      letters: of a line.
      lines: as many as may be full; where words end early, there is one more.
    """
    lacking = {name for name in names if not can_draw(name)}
    if lacking:
        _warn(min(lacking))
    return [
        str(number) if name in lacking else _literal(_lines(printable(name), letters, lines))
        for number, name in enumerate(names)
    ]


def can_draw(name: str) -> bool:
    """Returns whether the font has all letters of a name."""
    font = font_manager.get_font(font_manager.findfont(font_manager.FontProperties()))
    return all(font.get_char_index(ord(letter)) for letter in printable(name))


def _short(name: str, letters: int) -> str:
    if len(name) <= letters:
        return name
    return f"{name[: letters // 2]}…{name[letters // 2 + 1 - letters :]}"


def _lines(name: str, letters: int, lines: int) -> str:
    name = _short(name, letters * lines)
    return name if lines == 1 else textwrap.fill(name, letters)


def _literal(text: str) -> str:
    # A legend leaves out what begins with an underscore.
    return " " * text.startswith("_") + text.replace("$", r"\$")


@functools.cache  # warn only once about the same names
def _warn(name: str) -> None:
    log.warning(
        "plots show names like %s, which their font can't draw, as numbers from 0", printable(name)
    )

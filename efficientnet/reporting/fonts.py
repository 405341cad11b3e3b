"""Names in plots, whose font has the letters of only some languages; pages show all."""

import functools
import logging
from collections.abc import Sequence

from matplotlib import font_manager

log = logging.getLogger(__name__)


def drawable(names: Sequence[str]) -> list[str]:
    """Returns names for plots: those that the font can't draw are replaced by their numbers."""
    font = font_manager.get_font(font_manager.findfont(font_manager.FontProperties()))
    lacking = {name for name in names if not all(font.get_char_index(ord(c)) for c in name)}
    if lacking:
        _warn(min(lacking))
    return [str(number) if name in lacking else name for number, name in enumerate(names)]


@functools.cache  # warn only once about the same names
def _warn(name: str) -> None:
    log.warning("plots show names like %s, which their font can't draw, as numbers from 0", name)

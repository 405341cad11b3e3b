"""A picture of photos with captions, in sections one below the other."""

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

# Pixels.
SIDE = 224  # of the square that a photo is shown in
GAP = 10
LINE = 15  # of text
LETTER = 8  # width of most in a title
LETTERS = SIDE // LETTER  # of a line of a caption
DPI = 100
SIZE = 8.5  # of text, points


class Photo(NamedTuple):
    """A photo to show.

    Attributes:
      pixels: uint8 [height, width, 1 or 3]; it keeps its shape.
      caption: above it, see `fonts.drawable`.
    """

    pixels: np.ndarray
    caption: str = ""


class Section(NamedTuple):
    """Photos under a title."""

    title: str
    photos: Sequence[Photo]


def draw(sections: Iterable[Section], columns: int) -> np.ndarray:
    """Draws the sections with so many photos in a row, as uint8 [height, width, 3]."""
    width = GAP + columns * (SIDE + GAP)
    # x, y of the lower edge from above, and how wide it may be.
    texts: list[tuple[int, int, int, str, dict[str, Any]]] = []
    places: list[tuple[int, int, np.ndarray]] = []  # x, y
    y = 0
    for section in sections:
        room = width - 2 * GAP
        title = textwrap.wrap(section.title, room // LETTER)
        y += GAP + LINE * len(title)
        texts.append((GAP, y, room, "\n".join(title), {"weight": "bold", "fontsize": SIZE}))
        for first in range(0, len(section.photos), columns):
            row = section.photos[first : first + columns]
            captions = max(len(photo.caption.splitlines()) for photo in row)
            y += (GAP if captions else GAP // 2) + LINE * captions
            for column, photo in enumerate(row):
                x = GAP + column * (SIDE + GAP)
                texts.append(
                    (x + SIDE // 2, y, SIDE, photo.caption, {"ha": "center", "fontsize": SIZE})
                )
                places.append((x, y + GAP // 2, _fitted(photo.pixels)))
            y += GAP // 2 + SIDE
    height = y + GAP

    figure = Figure(figsize=((width + 0.5) / DPI, (height + 0.5) / DPI), dpi=DPI)
    canvas = FigureCanvasAgg(figure)
    for x, y, room, words, style in texts:
        text = figure.text(x, height - y, words, transform=None, va="bottom", **style)
        needed = text.get_window_extent(canvas.get_renderer()).width
        text.set_fontsize(SIZE * min(room / max(needed, 1), 1))
    canvas.draw()
    picture = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    for x, y, pixels in places:
        tall, wide = pixels.shape[:2]
        top, left = y + (SIDE - tall) // 2, x + (SIDE - wide) // 2
        picture[top : top + tall, left : left + wide] = pixels
    return picture


def _fitted(pixels: np.ndarray) -> np.ndarray:
    """Returns a photo in color, in its shape and as large as there is room for."""
    height, width = pixels.shape[:2]
    scale = SIDE / max(height, width)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    image = Image.fromarray(np.broadcast_to(pixels, (height, width, 3)))
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC))

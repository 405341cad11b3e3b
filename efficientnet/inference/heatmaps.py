"""Pictures of explanations: each photo beside a heat map of where its class is seen."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from efficientnet.inference.explain import Explanation
from efficientnet.reporting.fonts import drawable

PHOTOS_PER_LINE = 2
# Inches.
PANEL = 2.8  # wide
LINE = 3.3  # high
TITLES = 0.25  # high
MAX_OPACITY = 0.6  # of the heat map's color, where the heat is 1
NAME_LETTERS = 35


def draw(
    photos: Sequence[Sequence[Explanation]],
    class_names: Sequence[Sequence[str]],
    titles: Sequence[str] = (),
) -> Figure:
    """Draws each photo as the network sees it, and beside it the same photo under a heat map.

    Args:
      photos: the explanations of each photo, one of each network. With several networks, each photo
        has a row; as it is seen by the first, and under the heat map of each.
      class_names: of each network.
      titles: of the networks, above the first photo; none if there is only one.
    """
    strip = 1 + len(class_names)  # panels of a photo
    per_line = PHOTOS_PER_LINE if strip == 2 else 1
    columns = min(per_line, len(photos)) * strip
    lines = -(-len(photos) // per_line)
    heights = ([TITLES] if titles else []) + [LINE] * lines
    figure = Figure(figsize=(PANEL * columns, sum(heights)), layout="constrained")
    panels = figure.subplots(len(heights), columns, squeeze=False, height_ratios=heights)
    for panel in panels.flat:
        panel.set_axis_off()
        panel.set_anchor("S")  # leaves room for the caption
    for panel, title in zip(panels[0, 1:], drawable(titles), strict=False):
        panel.text(0.5, 0, title, ha="center", weight="bold")
    names = drawable([photo[0].name for photo in photos], NAME_LETTERS)
    classes = [drawable(each, lines=2) for each in class_names]
    strips = panels[len(heights) - lines :].reshape(-1, strip)
    for (plain, *heated), name, photo in zip(strips, names, photos, strict=False):
        plain.imshow(_rgb(photo[0].image))
        plain.set_title(name, fontsize="small", color="0.4")
        for panel, one, known in zip(heated, photo, classes, strict=True):
            panel.imshow(overlay(one.image, one.heat))
            panel.set_title(f"{known[one.label]}, {one.probability:.1%}", fontsize="medium")
    return figure


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Blends heat [H, W] from 0 to 1 into an image, uint8 [H, W, C]; returns float [H, W, 3].

    The opacity is proportional to the heat, so the photo stays as it is where the heat is 0.
    """
    colors = mpl.colormaps["turbo"](heat)[..., :3]
    opacity = MAX_OPACITY * heat[..., None]
    return (1 - opacity) * _rgb(image) + opacity * colors


def _rgb(image: np.ndarray) -> np.ndarray:
    return np.broadcast_to(image / 255, (*image.shape[:2], 3))

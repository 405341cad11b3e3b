"""Pictures of explanations: each photo beside a heat map of where its class is seen."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from efficientnet.inference.explain import Explanation
from efficientnet.reporting.fonts import drawable

PHOTOS_PER_LINE = 2
MAX_OPACITY = 0.6  # of the heat map's color, where the heat is 1
NAME_LETTERS = 35


def draw(explanations: Sequence[Explanation], class_names: Sequence[str]) -> Figure:
    """Draws each photo as the network sees it, and beside it the same photo under a heat map."""
    columns = min(PHOTOS_PER_LINE, len(explanations))
    lines = -(-len(explanations) // columns)
    figure = Figure(figsize=(5.6 * columns, 3.1 * lines), layout="constrained")
    panels = figure.subplots(lines, 2 * columns, squeeze=False).reshape(-1, 2)
    for panel in panels.flat:
        panel.set_axis_off()
    names = drawable([one.name for one in explanations], NAME_LETTERS)
    classes = drawable(class_names)
    for (plain, heated), name, one in zip(panels, names, explanations, strict=False):
        plain.imshow(_rgb(one.image))
        plain.set_title(name, fontsize="small", color="0.4")
        heated.imshow(overlay(one.image, one.heat))
        heated.set_title(f"{classes[one.label]}, {one.probability:.1%}", fontsize="medium")
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

"""Pictures of explanations: photos beside where their class is seen."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from efficientnet.inference.explain import Explanation
from efficientnet.reporting.fonts import drawable

PAIRS = 2  # photos in a line
STRONGEST = 0.6  # share of the heat's color where the heat is 1


def draw(explanations: Sequence[Explanation], class_names: Sequence[str]) -> Figure:
    """Draws each photo as the network sees it, and beside it with the class's heat laid over."""
    pairs = min(PAIRS, len(explanations))
    lines = -(-len(explanations) // pairs)
    figure = Figure(figsize=(5.6 * pairs, 3.1 * lines), layout="constrained")
    panels = figure.subplots(lines, 2 * pairs, squeeze=False).reshape(-1, 2)
    for panel in panels.flat:
        panel.set_axis_off()
    photos, classes = drawable([one.name for one in explanations]), drawable(class_names)
    for (plain, heated), name, one in zip(panels, photos, explanations, strict=False):
        plain.imshow(_colored(one.image))
        plain.set_title(_short(name), fontsize="small", color="0.4")
        heated.imshow(overlay(one.image, one.heat))
        heated.set_title(f"{classes[one.label]}, {one.probability:.1%}", fontsize="medium")
    return figure


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Lays a heat [H, W] of 0..1 over an image, uint8 [H, W, C]; returns float [H, W, 3] of 0..1.

    The more heat, the more of its color, so that what does not matter is the photo itself.
    """
    colors = mpl.colormaps["turbo"](heat)[..., :3]
    share = STRONGEST * heat[..., None]
    return (1 - share) * _colored(image) + share * colors


def _colored(image: np.ndarray) -> np.ndarray:
    return np.broadcast_to(image / 255, (*image.shape[:2], 3))


def _short(name: str, limit: int = 32) -> str:
    return name if len(name) <= limit else f"...{name[-limit:]}"

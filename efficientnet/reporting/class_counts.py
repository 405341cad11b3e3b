"""How many photos each class has in each split: a picture, and the class that stands out."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from efficientnet.reporting import pages
from efficientnet.reporting.fonts import can_draw, drawable
from efficientnet.reporting.plots import plain, turn_names

# Up to this many classes, there is room for their names below the bars.
MAX_NAMED_CLASSES = 16
# Of the splits, as those of the bars in style.css.
COLORS = ("#3b6fb6", "#e0923a", "#6aa56a", "#a06ab0")


class Outlier(NamedTuple):
    """A class whose number of photos stands out."""

    label: int
    photos: int
    deviations: float  # its distance from the mean over classes, in standard deviations


def outlier(totals: np.ndarray) -> Outlier | None:
    """Returns the class whose number of photos is farthest from the mean; None if not one alone is.

    Args:
      totals: int [classes], numbers of photos.
    """
    distance = np.abs(totals - totals.mean())
    farthest = np.flatnonzero(distance == distance.max())
    if len(farthest) > 1 or not distance.any():
        return None
    label = int(farthest[0])
    return Outlier(label, int(totals[label]), float(distance[label] / totals.std()))


def picture(counts: Mapping[str, Sequence[int]], class_names: Sequence[str]) -> Figure:
    """Plots the photos of each class, in label order, with their mean and the outlier.

    Args:
      counts: numbers of photos of each class by split.
      class_names: in the order of the labels.
    """
    figure = Figure(figsize=(5.4, 3.6), layout="constrained")
    panel = figure.subplots()
    edges, below = np.arange(len(class_names) + 1) - 0.5, np.zeros(len(class_names), int)
    for (split, numbers), color in zip(counts.items(), itertools.cycle(COLORS)):
        above = below + np.asarray(numbers)
        panel.stairs(above, edges, baseline=below, fill=True, color=color, label=split)
        below = above
    panel.axhline(below.mean(), color="0.3", linestyle="--", linewidth=1, label="mean")
    far = outlier(below)
    if far:
        (name,) = drawable([class_names[far.label]])
        name = name if can_draw(class_names[far.label]) else str(far.label)
        right = far.label > len(class_names) / 2
        panel.annotate(
            f"{name}: {far.photos:,}",
            (far.label, far.photos),
            xytext=(-6 if right else 6, 3),
            textcoords="offset points",
            ha="right" if right else "left",
            fontsize="small",
        )
    panel.margins(x=0.01, y=0.12)
    panel.set(ylabel="photos", xlabel="class")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(class_names) <= MAX_NAMED_CLASSES:
        panel.set_xticks(range(len(class_names)), drawable(class_names))
        panel.set_xlabel("")
        turn_names(panel)
    figure.legend(
        frameon=False, fontsize="small", loc="outside lower center", ncols=len(counts) + 1
    )
    plain(panel)
    return figure


def shown(counts: Mapping[str, Sequence[int]], class_names: Sequence[str]) -> dict[str, Any]:
    """Returns the values of the macro `class_counts`; arguments as of `picture`."""
    totals = np.sum(list(counts.values()), axis=0)
    far = outlier(totals)
    return {
        "picture": pages.drawing(picture(counts, class_names)),
        "mean": f"{totals.mean():,.1f}",
        "outlier": far,
        "name": class_names[far.label] if far else "",
    }

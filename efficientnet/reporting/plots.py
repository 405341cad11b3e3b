"""Pictures of a run, each a matplotlib figure."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

# Up to this many classes every cell of a confusion matrix has room for its number.
MAX_ANNOTATED_CLASSES = 12
# Up to this many classes their names have room along the axes.
MAX_NAMED_CLASSES = 40


def curves(history: Sequence[Mapping[str, Any]], selected_on: str) -> Figure:
    """Draws accuracy and loss over the epochs of all stages, one color a stage.

    Args:
      history: one entry an epoch, as in the progress of a run: 'stage', the 'train' metrics, and
        the validation metrics under the name that is 'chosen' (plain weights or their average).
      selected_on: the photos that the validation metrics come from.
    """
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    panels = figure.subplots(1, 2)
    stages = list(dict.fromkeys(entry["stage"] for entry in history))
    for panel, metric, title in zip(
        panels, ("top1", "loss"), ("top-1 accuracy", "loss (nats)"), strict=True
    ):
        for color, stage in enumerate(stages):
            points = [(x, e) for x, e in enumerate(history, start=1) if e["stage"] == stage]
            epochs = [x for x, _ in points]
            for split, style in (("train", "--"), ("validation", "-")):
                values = [
                    entry["train" if split == "train" else entry["chosen"]][metric]
                    for _, entry in points
                ]
                panel.plot(
                    epochs,
                    values,
                    style,
                    marker="o",
                    markersize=4,
                    color=f"C{color}",
                    label=f"{stage}, {split}",
                )
            if color:
                panel.axvline(epochs[0] - 0.5, color="0.7", linewidth=1)
        panel.set(xlabel="epoch", title=title)
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0))
    panels[0].legend(frameon=False)
    figure.suptitle(f"validation: {selected_on}", fontsize="small", color="0.4")
    return figure


def confusion_matrix(counts: np.ndarray, class_names: Sequence[str], title: str) -> Figure:
    """Draws how often examples of each class (rows) were taken for each class (columns).

    Few classes get a number in every cell and are colored by the share of their row; many are
    colored on a logarithmic scale, where single mistakes still show.

    Args:
      counts: int [true class, predicted class].
      class_names: in the order of the labels.
      title: of the picture.
    """
    classes = len(class_names)
    size = 4.5 if classes <= MAX_ANNOTATED_CLASSES else 9
    figure = Figure(figsize=(size + 1, size), layout="constrained")
    panel = figure.subplots()
    if classes <= MAX_ANNOTATED_CLASSES:
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        image = panel.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        figure.colorbar(image, format=mpl.ticker.PercentFormatter(1.0), label="share of the class")
        _annotate(panel, counts, shares)
    else:
        image = panel.imshow(
            np.ma.masked_equal(counts, 0), cmap="viridis_r", norm=LogNorm(1, max(counts.max(), 2))
        )
        ticks = mpl.ticker.LogLocator(subs=(1, 2, 5))
        bar = figure.colorbar(image, ticks=ticks, format="%d", label="photos (logarithmic)")
        bar.minorticks_off()
    if classes <= MAX_NAMED_CLASSES:
        panel.set_xticks(
            range(classes), class_names, rotation=45 if classes > 3 else 0, ha="center"
        )
        panel.set_yticks(range(classes), class_names)
    panel.set(xlabel="predicted", ylabel="true", title=title)
    return figure


def _annotate(panel: Axes, counts: np.ndarray, shares: np.ndarray) -> None:
    for (row, column), count in np.ndenumerate(counts):
        color = "white" if shares[row, column] > 0.5 else "black"
        panel.text(
            column,
            row,
            f"{count}\n{shares[row, column]:.1%}",
            ha="center",
            va="center",
            color=color,
        )

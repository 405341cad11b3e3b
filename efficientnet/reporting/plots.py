"""Plots of a run, each a matplotlib figure."""

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from efficientnet.reporting.fonts import drawable
from efficientnet.reporting.predictions import Predictions
from efficientnet.reporting.scores import Calibration

# Up to this many classes, every cell of a confusion matrix has room for a number.
MAX_ANNOTATED_CLASSES = 12
# Up to this many classes, there is room for their names along the axes.
MAX_NAMED_CLASSES = 40
PHOTO_COLUMNS = 6
MAX_WIDTH = 10.8  # inches, of the width of a page
COLORBAR = 0.8  # as high as the square matrix beside it
DOTS_PER_INCH = 120


def colors_of(number: int) -> list[Any]:
    """Returns so many colors that can be told apart."""
    if number <= 10:
        return [f"C{place}" for place in range(number)]
    return list(mpl.colormaps["turbo"](np.linspace(0.05, 0.95, number)))


def scale_for(values: Sequence[float]) -> dict[str, Any]:
    """Returns the arguments of `set_xscale` and `set_yscale` for an axis of these values.

    It is logarithmic where those above zero span a decade, with a place for zero if it occurs.
    """
    positive = [value for value in values if value > 0]
    if min(values) < 0 or not positive or max(positive) < 10 * min(positive):
        return {"value": "linear"}
    if len(positive) < len(values):
        return {"value": "symlog", "linthresh": min(positive)}
    return {"value": "log"}


def plain(panel: Axes) -> None:
    """Gives a panel a pale grid and no frame."""
    panel.grid(alpha=0.3)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)


def confusion_matrix(counts: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Plots how often examples of each class (rows) are predicted as each class (columns).

    Colors are the share of the row. With few classes, cells are numbered; with many, colors are
    logarithmic and cells without examples white, so that single mistakes are visible. A picture of
    log((counts + 1) / row sum), as some studies have it, tints all cells of a row instead.

    Args:
      counts: int [true class, predicted class].
      class_names: in the order of the labels.
    """
    classes = len(class_names)
    size = 8 if MAX_ANNOTATED_CLASSES < classes <= MAX_NAMED_CLASSES else 5
    figure = Figure(figsize=(size + 1, size), layout="constrained")
    panel = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    if classes <= MAX_ANNOTATED_CLASSES:
        image = panel.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        figure.colorbar(
            image,
            format=mpl.ticker.PercentFormatter(1.0),
            label="share of the class",
            shrink=COLORBAR,
        )
        _annotate(panel, counts, shares)
    else:
        least = min(shares.min(where=shares > 0, initial=0.5), 0.5)
        image = panel.imshow(
            np.ma.masked_equal(shares, 0), cmap="viridis_r", norm=LogNorm(least, 1)
        )
        bar = figure.colorbar(
            image,
            ticks=mpl.ticker.LogLocator(subs=(1, 2, 5)),
            format=mpl.ticker.PercentFormatter(1.0),
            label="share of the class (logarithmic)",
            shrink=COLORBAR,
        )
        bar.minorticks_off()
    if classes <= MAX_NAMED_CLASSES:
        names = drawable(class_names)
        panel.set_xticks(range(classes), names)
        panel.set_yticks(range(classes), names)
        turn_names(panel)
    panel.set(xlabel="predicted", ylabel="true")
    return figure


def _annotate(panel: Axes, counts: np.ndarray, shares: np.ndarray) -> None:
    size = "medium" if len(counts) <= 6 else "x-small"
    for (row, column), count in np.ndenumerate(counts):
        share = shares[row, column]
        panel.text(
            column,
            row,
            f"{count}\n{share:.1%}",
            ha="center",
            va="center",
            color="white" if share > 0.5 else "black",
            fontsize=size,
        )


def reliability(calibration: Calibration) -> Figure:
    """Plots accuracy over confidence, and below it the number of photos in each bin."""
    figure = Figure(figsize=(5.4, 4.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    widths, left = np.diff(calibration.edges), calibration.edges[:-1]
    used = calibration.photos > 0
    above.plot(
        [0, 1], [0, 1], "--", color="0.4", linewidth=1, label="perfectly calibrated", zorder=3
    )
    above.bar(
        left[used],
        calibration.accuracy[used],
        widths[used],
        align="edge",
        color="C0",
        alpha=0.75,
        edgecolor="white",
        label="accuracy",
    )
    above.plot(
        calibration.confidence[used],
        calibration.accuracy[used],
        "o",
        color="black",
        markersize=3,
        label="at the bin's mean confidence",
    )
    above.set(ylabel="accuracy", title=f"Calibration error {calibration.error:.1%}", ylim=(0, 1))
    above.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0))
    above.legend(frameon=False, fontsize="small", loc="upper left")
    below.bar(left, calibration.photos, widths, align="edge", color="0.6", edgecolor="white")
    below.set(xlabel="confidence", ylabel="photos", xlim=(0, 1))
    below.xaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0))
    for panel in (above, below):
        plain(panel)
    return figure


def photo_grid(predictions: Predictions, indices: np.ndarray, photos: np.ndarray) -> Figure:
    """Plots photos with their predicted and true classes.

    Args:
      predictions: of the split.
      indices: int [n], of the photos in the split.
      photos: uint8 [n, height, width, channels].
    """
    rows = -(-len(indices) // PHOTO_COLUMNS)
    figure = Figure(figsize=(1.7 * PHOTO_COLUMNS, 2.15 * rows), layout="constrained")
    panels = figure.subplots(rows, PHOTO_COLUMNS, squeeze=False).ravel()
    for panel in panels:
        panel.axis("off")
    names = drawable(predictions.answers)
    for panel, index, photo in zip(panels, indices, photos, strict=False):
        panel.imshow(photo.squeeze(), cmap="gray")
        said, true = (
            names[label] for label in (predictions.predicted[index], predictions.label[index])
        )
        sure = predictions.probabilities[index].max()
        panel.set_title(f"{said} {sure:.0%}\nis {true}", fontsize=7, loc="left")
    return figure


def mistakes(
    wrong: np.ndarray, names: Sequence[str], label: np.ndarray, class_names: Sequence[str]
) -> Figure:
    """Plots which photos (rows) each run (column) gets wrong; black is a mistake.

    Args:
      wrong: bool [photos, runs], in the order of the rows.
      names: of the runs.
      label: int [photos], in ascending order.
      class_names: in the order of the labels.
    """
    width = min(max(3.6, 0.7 * len(names) + 1.2), MAX_WIDTH)
    figure = Figure(figsize=(width, 8), layout="constrained")
    panel = figure.subplots()
    for column in range(len(names)):
        # One image per column, so that neighbors are not blended.
        panel.imshow(
            wrong[:, [column]],
            cmap="gray_r",
            vmin=0,
            vmax=1,
            aspect="auto",
            interpolation="antialiased",
            extent=(column - 0.48, column + 0.48, len(wrong), 0),
        )
    panel.set_xlim(-0.5, len(names) - 0.5)
    labels = [
        f"{name}\n{share:.1%}\nwrong"
        for name, share in zip(drawable(names), wrong.mean(axis=0), strict=True)
    ]
    panel.set_xticks(range(len(names)), labels, fontsize="small")
    turn_names(panel)
    panel.set(ylabel="test photos by class, the hardest of each first")
    if len(class_names) <= MAX_NAMED_CLASSES:
        borders = np.searchsorted(label, range(len(class_names) + 1))
        panel.set_yticks((borders[:-1] + borders[1:]) / 2, drawable(class_names))
        for border in borders[1:-1]:
            panel.axhline(border, color="C1", linewidth=1)
    return figure


def png(figure: Figure) -> bytes:
    """Returns a figure as a PNG file."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DOTS_PER_INCH)
    return content.getvalue()


def pixels(figure: Figure) -> np.ndarray:
    """Returns a figure as uint8 [height, width, 3]."""
    figure.set_dpi(DOTS_PER_INCH)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def turn_names(panel: Axes) -> None:
    """Rotates the names below an axis if they would overlap."""
    labels = panel.get_xticklabels()
    if len(labels) > 3:
        for label in labels:
            label.set(rotation=45, ha="right", rotation_mode="anchor")

"""Plots of a run, each a matplotlib figure."""

import math
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from efficientnet.metrics import METRICS, Metric
from efficientnet.records import EpochRecord, StageResult
from efficientnet.reporting.fonts import LEGEND_LETTERS, drawable
from efficientnet.reporting.predictions import Predictions
from efficientnet.reporting.scores import Calibration

# Up to this many classes, every cell of a confusion matrix has room for a number.
MAX_ANNOTATED_CLASSES = 12
# Up to this many classes, there is room for their names along the axes.
MAX_NAMED_CLASSES = 40
PHOTO_COLUMNS = 6
COLORBAR = 0.8  # as high as the square matrix beside it
DOTS_PER_INCH = 120


def plotted() -> list[Metric]:
    """Returns the metrics whose curves are plotted."""
    return [metric for metric in METRICS.values() if metric.plotted]


def curves(history: Sequence[EpochRecord], stages: Sequence[StageResult], metric: Metric) -> Figure:
    """Plots a metric over the epochs of all stages, one color per stage, with the test results.

    Args:
      history: of all epochs.
      stages: the results of all stages.
      metric: one that is computed in training and validation.
    """
    figure, panel = _panel()
    names = drawable([stage.name for stage in stages], LEGEND_LETTERS)
    for color, (name, stage) in enumerate(zip(names, stages, strict=True)):
        points = [(x, e) for x, e in enumerate(history, 1) if e.stage == stage.name]
        epochs = [x for x, _ in points]
        for split, style in (("train", ":"), ("validation", "-")):
            values = [
                (e.train if split == "train" else e.validated).get(metric.name, math.nan)
                for _, e in points
            ]
            marker = "o" if split == "validation" else "."
            label = f"{name}, {split}"
            panel.plot(epochs, values, style, marker=marker, color=f"C{color}", label=label)
        # Epochs shorter than a batch may end with the same step; they share an entry.
        best = next(x for x, e in points if e.epoch == stage.best_epoch)
        panel.plot(
            [best],
            [stage.metrics.test.get(metric.name, math.nan)],
            "D",
            color=f"C{color}",
            markerfacecolor="white",
            label=f"{name}, test of the best weights",
        )
        if color:
            panel.axvline(epochs[0] - 0.5, color="0.75", linewidth=1)
    _finish_curves(figure, panel, metric)
    return figure


def overlaid_curves(runs: Mapping[str, Sequence[EpochRecord]], metric: Metric) -> Figure:
    """Plots a validation metric of several runs, one color per run; dots mark starts of stages.

    Args:
      runs: the history of each run by its name, see `curves`.
      metric: one that is computed in training and validation.
    """
    figure, panel = _panel()
    names = drawable(tuple(runs), LEGEND_LETTERS)
    for color, (name, history) in enumerate(zip(names, runs.values(), strict=True)):
        values = [record.validated.get(metric.name, math.nan) for record in history]
        first = [
            place
            for place, record in enumerate(history)
            if not place or record.stage != history[place - 1].stage
        ]
        epochs = range(1, len(values) + 1)
        panel.plot(epochs, values, "-o", markevery=first, color=f"C{color}", label=name)
    _finish_curves(figure, panel, metric)
    return figure


def _panel() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.4, 4.4), layout="constrained")
    return figure, figure.subplots()


def _finish_curves(figure: Figure, panel: Axes, metric: Metric) -> None:
    panel.set(xlabel="epoch", title=metric.title)
    panel.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
    if metric.unit == "percent":
        panel.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0))
    # Below the axes, where there is no line.
    figure.legend(frameon=False, fontsize="small", loc="outside lower center", ncols=2)
    _plain(panel)


def _plain(panel: Axes) -> None:
    panel.grid(alpha=0.3)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)


def confusion_matrix(counts: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Plots how often examples of each class (rows) are predicted as each class (columns).

    With few classes, cells are numbered and colored by their share of the row; with many, colors
    are logarithmic, so that single mistakes are visible.

    Args:
      counts: int [true class, predicted class].
      class_names: in the order of the labels.
    """
    classes = len(class_names)
    size = 8 if MAX_ANNOTATED_CLASSES < classes <= MAX_NAMED_CLASSES else 5
    figure = Figure(figsize=(size + 1, size), layout="constrained")
    panel = figure.subplots()
    if classes <= MAX_ANNOTATED_CLASSES:
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        image = panel.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        figure.colorbar(
            image,
            format=mpl.ticker.PercentFormatter(1.0),
            label="share of the class",
            shrink=COLORBAR,
        )
        _annotate(panel, counts, shares)
    else:
        image = panel.imshow(
            np.ma.masked_equal(counts, 0), cmap="viridis_r", norm=LogNorm(1, max(counts.max(), 2))
        )
        ticks = mpl.ticker.LogLocator(subs=(1, 2, 5))
        bar = figure.colorbar(
            image, ticks=ticks, format="%d", label="photos (logarithmic)", shrink=COLORBAR
        )
        bar.minorticks_off()
    if classes <= MAX_NAMED_CLASSES:
        names = drawable(class_names)
        panel.set_xticks(range(classes), names)
        panel.set_yticks(range(classes), names)
        _turn_names(panel)
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
        _plain(panel)
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


def mistakes(wrong: np.ndarray, names: Sequence[str]) -> Figure:
    """Plots which photos (rows) each run (column) gets wrong; black is a mistake.

    Args:
      wrong: bool [photos, runs], in the order of the rows.
      names: of the runs.
    """
    width = max(3.6, 0.7 * len(names) + 1.2)
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
        f"{name}\n{share:.1%} wrong"
        for name, share in zip(drawable(names), wrong.mean(axis=0), strict=True)
    ]
    panel.set_xticks(range(len(names)), labels, fontsize="small")
    _turn_names(panel)
    panel.set(ylabel="test photos, the hardest first")
    return figure


def pixels(figure: Figure) -> np.ndarray:
    """Returns a figure as uint8 [height, width, 3]."""
    figure.set_dpi(DOTS_PER_INCH)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _turn_names(panel: Axes) -> None:
    """Rotates the names below an axis if they would overlap."""
    labels = panel.get_xticklabels()
    if len(labels) > 3:
        for label in labels:
            label.set(rotation=45, ha="right", rotation_mode="anchor")

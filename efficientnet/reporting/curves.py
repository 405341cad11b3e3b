"""Curves over the epochs of all stages, each a matplotlib figure."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from efficientnet.metrics import METRICS, Metric
from efficientnet.records import EpochRecord, StageResult
from efficientnet.reporting.fonts import LEGEND_LETTERS, drawable
from efficientnet.reporting.plots import colors_of, plain, scale_for

SIZE = (5.4, 7.4)  # inches
BORDER: dict[str, Any] = {"color": "0.7", "linewidth": 1}
STYLES = {"training": ":", "validation": "-"}

# What the panels of a figure show, one below the other; None is the learning rate.
Panels = Sequence[Metric | None]


def plotted(classes: int) -> list[Metric]:
    """Returns the metrics whose curves are plotted."""
    return [m for m in METRICS.values() if m.plotted and classes >= m.least_classes]


def pictures(classes: int, history: Sequence[EpochRecord]) -> dict[str, Panels]:
    """Returns what to plot on two figures side by side, by their titles.

    Args:
      classes: number of classes.
      history: of one or more runs; if none has learning rates, because an earlier version trained
        them, these are left out.
    """
    metrics = plotted(classes)
    rate = [None] if any(record.learning_rate is not None for record in history) else []
    return {
        "Accuracy over the epochs": [m for m in metrics if m.unit == "percent"],
        f"Loss{' and learning rate' if rate else ''} over the epochs": [
            *(m for m in metrics if m.unit != "percent"),
            *rate,
        ],
    }


def of_run(history: Sequence[EpochRecord], stages: Sequence[StageResult], panels: Panels) -> Figure:
    """Plots a run, one color per stage, with the test results.

    Solid lines are borders of stages, dashed ones epochs after which a plateau lowered the rate.

    Args:
      history: of all epochs.
      stages: the results of all stages.
      panels: what to plot, see `pictures`.
    """
    figure = Figure(figsize=SIZE, layout="constrained")
    names = drawable([stage.name for stage in stages], LEGEND_LETTERS)
    colors = colors_of(len(stages))
    for panel, metric in _panels(figure, panels, history):
        for color, stage in zip(colors, stages, strict=True):
            points = [(x, e) for x, e in enumerate(history, 1) if e.stage == stage.name]
            epochs, records = [x for x, _ in points], [e for _, e in points]
            if metric is None:
                _rates(panel, epochs, records, color=color, label=stage.name)
            else:
                for split, values in _values(records, metric).items():
                    style = {"marker": "o" if split == "validation" else ".", "color": color}
                    panel.plot(
                        epochs, values, STYLES[split], label=f"{stage.name}, {split}", **style
                    )
                # Epochs shorter than a batch may end with the same step; they share an entry.
                best = next(x for x, e in points if e.epoch == stage.best_epoch)
                tested = stage.metrics.test.get(metric.name, math.nan)
                label = f"{stage.name}, test of the best weights"
                panel.plot([best], [tested], "D", markerfacecolor="white", color=color, label=label)
        for x, (before, after) in enumerate(itertools.pairwise(history), 1):
            if before.stage != after.stage:
                panel.axvline(x + 0.5, **BORDER)
            elif before.lr_scale != after.lr_scale:
                panel.axvline(x + 0.5, linestyle="--", **BORDER)
    of_stages = [_key(color=color, label=name) for color, name in zip(colors, names, strict=True)]
    test = _key(linestyle="", marker="D", markerfacecolor="white", label="test of the best weights")
    _legend(figure, [*of_stages, *_key_to_splits(), test])
    return figure


def of_runs(runs: Mapping[str, Sequence[EpochRecord]], panels: Panels) -> Figure:
    """Plots several runs, one color per run; dots mark starts of stages.

    Args:
      runs: the history of each run by its name.
      panels: what to plot, see `pictures`.
    """
    figure = Figure(figsize=SIZE, layout="constrained")
    names, colors = drawable(tuple(runs), LEGEND_LETTERS), colors_of(len(runs))
    for panel, metric in _panels(figure, panels, list(itertools.chain(*runs.values()))):
        for color, (name, history) in zip(colors, runs.items(), strict=True):
            epochs = range(1, len(history) + 1)
            if metric is None:
                _rates(panel, epochs, history, color=color, label=name)
                continue
            values = _values(history, metric)
            stages = [record.stage for record in history]
            first = [x for x, stage in enumerate(stages) if not x or stage != stages[x - 1]]
            panel.plot(
                epochs, values["training"], ":", color=color, linewidth=1, label=f"{name}, training"
            )
            panel.plot(epochs, values["validation"], "-o", color=color, markevery=first, label=name)
    of_runs = [_key(color=color, label=name) for color, name in zip(colors, names, strict=True)]
    _legend(figure, [*of_runs, *_key_to_splits()])
    return figure


def _panels(
    figure: Figure, panels: Panels, history: Sequence[EpochRecord]
) -> Iterator[tuple[Axes, Metric | None]]:
    """Yields the panels to draw on, which share the axis of epochs, and finishes them."""
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for panel, metric in zip(axes, panels, strict=True):
        yield panel, metric
        panel.set_title("Learning rate" if metric is None else metric.title)
        if metric is None:
            rates = [e.learning_rate for e in history if e.learning_rate is not None]
            panel.set_yscale(**scale_for(rates))
        elif metric.unit == "percent":
            panel.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0))
        panel.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
        plain(panel)
    axes[-1].set_xlabel("epoch")


def _values(history: Sequence[EpochRecord], metric: Metric) -> dict[str, list[float]]:
    """Returns a metric of each epoch by split."""
    return {
        "training": [record.train.get(metric.name, math.nan) for record in history],
        "validation": [record.validated.get(metric.name, math.nan) for record in history],
    }


def _rates(
    panel: Axes, epochs: Sequence[int], history: Sequence[EpochRecord], **style: Any
) -> None:
    """Draws the mean learning rate of each epoch as a step."""
    rates = [math.nan if e.learning_rate is None else e.learning_rate for e in history]
    edges = [x - 0.5 for x in (*epochs, epochs[-1] + 1)]
    panel.stairs(rates, edges, baseline=None, linewidth=1.5, **style)


def _key(**style: Any) -> Line2D:
    return Line2D([], [], **{"color": "0.4", **style})


def _key_to_splits() -> list[Line2D]:
    return [_key(linestyle=style, label=split) for split, style in STYLES.items()]


def _legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    # Below the axes, where there is no line.
    figure.legend(
        handles=handles, frameon=False, fontsize="small", loc="outside lower center", ncols=2
    )

"""Results of any number of runs by the values of config fields."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from etils import epath
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

from efficientnet.errors import UserError
from efficientnet.metrics import METRICS, Metric
from efficientnet.paths import make_folder, write_whole
from efficientnet.reporting import grids, pages, runs, tables
from efficientnet.reporting.comparison import short_names
from efficientnet.reporting.fonts import drawable
from efficientnet.reporting.plots import plain, scale_for, turn_names
from efficientnet.reporting.runs import Run

PAGE = "by_field.html"
PRETRAINED, SCRATCH, ALL = "pretrained", "from scratch", "all"
COLORS = {PRETRAINED: "C0", SCRATCH: "C1", ALL: "0.5"}
# Up to this many numbers have ticks of their own.
MAX_TICKS = 8


@dataclasses.dataclass(frozen=True)
class Point:
    """The result of a run.

    Attributes:
      run: its name.
      start: `PRETRAINED` or `SCRATCH`, by `config.weights`.
      values: of the fields.
      result: of the metric.
    """

    run: str
    start: str
    values: tuple[Any, ...]
    result: float


@dataclasses.dataclass(frozen=True)
class Results:
    """The results of runs, with the values of the fields that they are ordered by.

    Attributes:
      fields: such as 'config.stages[0].weight_decay'.
      metric: one of `grids.choices`, of the last stage.
      points: of the runs.
      left_out: why other runs are left out, a sentence for each.
    """

    fields: tuple[str, ...]
    metric: str
    points: tuple[Point, ...]
    left_out: tuple[str, ...]

    @property
    def shown(self) -> Metric:
        """The metric's row in the table of metrics."""
        return METRICS[self.metric.split(".")[1]]

    def values(self, field: int) -> list[Any]:
        """Returns the values of a field, numbers first, in order."""
        return sorted({point.values[field] for point in self.points}, key=_order)

    def groups(self) -> dict[str, list[Point]]:
        """Returns the runs with pretrained weights, those without, and if both occur, all."""
        found = {
            start: [point for point in self.points if point.start == start]
            for start in (PRETRAINED, SCRATCH)
        }
        found = {start: points for start, points in found.items() if points}
        return found if len(found) == 1 else {**found, ALL: list(self.points)}


def read(paths: Sequence[str], fields: Sequence[str], metric: str) -> Results:
    """Reads runs, and leaves out those that are not finished or lack a field.

    Args:
      paths: the workdirs.
      fields: 'config.field', or the same without 'config.'.
      metric: one of `grids.choices`.

    Raises:
      UserError: a folder has no run, no run is left, or test photos differ.
    """
    wanted = tuple(dict.fromkeys(map(grids.field_name, fields)))
    names, points, left_out = short_names(paths), [], []
    first: Run | None = None
    for name, path in zip(names, paths, strict=True):
        try:
            run = runs.load(path)
        except runs.UnfinishedError as error:
            left_out.append(str(error))
            continue
        settings = run.settings
        lacking = [field for field in wanted if field not in settings]
        if lacking:
            left_out.append(
                f"the run in {path} has no {lacking[0]}: config.json has all its fields"
            )
            continue
        first = first or run
        _check_same(first, run)
        split, of = metric.split(".")
        result = getattr(run.result.metrics, split)[of]
        start = PRETRAINED if run.config.weights else SCRATCH
        points.append(Point(name, start, tuple(settings[field] for field in wanted), result))
    if not points:
        raise UserError(f"no run is left to compare: {left_out[0]}")
    return Results(wanted, metric, tuple(points), tuple(left_out))


def _check_same(one: Run, other: Run) -> None:
    identities = one.tested_on, other.tested_on
    if None not in identities and identities[0] != identities[1]:
        raise UserError(
            f"{one.folder} and {other.folder} were tested on different photos: compare runs of "
            "one test set"
        )


def table(results: Results, field: int) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Returns headings and rows: how the runs with each value of a field did."""
    header = ("Weights", "Value", "Runs", "Mean", "Lowest", "Highest")
    write = results.shown.short
    rows = []
    for group, points in results.groups().items():
        for value in results.values(field):
            if found := _at(points, field, value):
                numbers = (float(np.mean(found)), min(found), max(found))
                rows.append((group, _text(value), str(len(found)), *map(write, numbers)))
    return header, rows


def _at(points: Sequence[Point], field: int, value: Any) -> list[float]:
    """Returns the results of the runs with a value of a field."""
    return [point.result for point in points if point.values[field] == value]


def picture(results: Results, field: int) -> Figure:
    """Plots a point for each run over the values of a field, and the mean at each value."""
    figure = Figure(figsize=(5.4, 4.2), layout="constrained")
    panel = figure.subplots()
    values = results.values(field)
    places = _axis(panel, values)
    for group, points in results.groups().items():
        color = COLORS[group]
        if group != ALL:
            x = [places[point.values[field]] for point in points]
            y = [point.result for point in points]
            panel.plot(x, y, "o", color=color, alpha=0.5, label=f"{group}, each run")
        means = {
            places[value]: np.mean(found)
            for value in values
            if (found := _at(points, field, value))
        }
        line = "-" if all(map(_is_number, values)) else ""
        panel.plot(
            list(means),
            list(means.values()),
            linestyle="--" if line and group == ALL else line,
            marker="_",
            markersize=14,
            color=color,
            label=f"{group}, mean" if group != ALL else "mean of all",
        )
    panel.set(xlabel=_short(results.fields[field]), ylabel=_title(results))
    if results.shown.unit == "percent":
        panel.yaxis.set_major_formatter(PercentFormatter(1.0))
    figure.legend(frameon=False, fontsize="small", loc="outside lower center", ncols=2)
    plain(panel)
    return figure


def _axis(panel: Axes, values: Sequence[Any]) -> dict[Any, float]:
    """Sets the horizontal axis; returns the place of each value on it."""
    if all(map(_is_number, values)):
        panel.set_xscale(**scale_for(values))
        if len(values) <= MAX_TICKS:
            panel.xaxis.set_major_locator(FixedLocator(values))
            panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            panel.xaxis.set_minor_locator(NullLocator())
        return {value: float(value) for value in values}
    panel.set_xticks(range(len(values)), drawable(list(map(_text, values))))
    panel.set_xlim(-0.5, len(values) - 0.5)
    turn_names(panel)
    return {value: float(place) for place, value in enumerate(values)}


def heat_maps(results: Results) -> Iterator[tuple[str, Figure]]:
    """Yields a heat map of means for each group: the first field down, the second across."""
    down, across = results.values(0), results.values(1)
    for group, points in results.groups().items():
        means = np.full((len(down), len(across)), np.nan)
        figure = Figure(figsize=(5.4, 1.6 + 0.5 * len(down)), layout="constrained")
        panel = figure.subplots()
        for row, column in np.ndindex(means.shape):
            pair = (down[row], across[column])
            found = [point.result for point in points if point.values == pair]
            if found:
                means[row, column] = np.mean(found)
        low, high = np.nanmin(means), np.nanmax(means)
        panel.imshow(means, cmap="Blues", vmin=low, vmax=max(high, low + 1e-6), aspect="auto")
        for (row, column), mean in np.ndenumerate(means):
            if np.isfinite(mean):
                color = "white" if mean - low > 0.6 * (high - low) > 0 else "black"
                text = results.shown.short(float(mean))
                panel.text(column, row, text, ha="center", va="center", color=color)
        panel.set_xticks(range(len(across)), drawable(list(map(_text, across))))
        panel.set_yticks(range(len(down)), drawable(list(map(_text, down))))
        panel.set(ylabel=_short(results.fields[0]), xlabel=_short(results.fields[1]))
        panel.set_title(f"{_title(results)}, {group}", fontsize="medium")
        turn_names(panel)
        yield group, figure


def write_page(folder: epath.Path, results: Results) -> None:
    """Writes the self-contained page `by_field.html` to a folder, which is created if needed."""
    sections = [
        (field, pages.drawing(picture(results, place)), *table(results, place))
        for place, field in enumerate(results.fields)
    ]
    best = grids.best(results.metric) is max
    ranked = sorted(results.points, key=lambda point: point.result, reverse=best)
    content = pages.render(
        "by_field.html",
        title=f"{_title(results)} by {' and '.join(map(_short, results.fields))}",
        metric=_title(results),
        left_out=results.left_out,
        sections=sections,
        together=[
            (pages.drawing(figure), f"{' and '.join(results.fields)}, {group}")
            for group, figure in (heat_maps(results) if len(results.fields) == 2 else ())
        ],
        header=("Run", "Weights", *results.fields, _title(results)),
        rows=[
            (p.run, p.start, *map(_text, p.values), results.shown.short(p.result)) for p in ranked
        ],
    )
    make_folder(folder)
    write_whole(folder / PAGE, content)


def text(results: Results) -> str:
    """Returns the tables of all fields, aligned, each below its field."""
    return "\n\n".join(
        f"{_title(results)} by {field}\n{tables.aligned(*table(results, place))}"
        for place, field in enumerate(results.fields)
    )


def _title(results: Results) -> str:
    split, _ = results.metric.split(".")
    return f"{results.shown.title}, {split}"


def _short(field: str) -> str:
    return field.removeprefix("config.")


def _text(value: Any) -> str:
    return "''" if value == "" else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _order(value: Any) -> tuple[bool, float, str]:
    """Orders values: numbers by size, then all others by their text."""
    return (False, value, "") if _is_number(value) else (True, 0.0, _text(value))

"""Grids of settings, and the results of the runs at their points side by side."""

import hashlib
import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from efficientnet import metrics
from efficientnet.errors import UserError
from efficientnet.paths import printable
from efficientnet.reporting.fonts import LEGEND_LETTERS, drawable
from efficientnet.reporting.plots import scale_for

SPLITS = ("validation", "test")
UNNAMABLE = re.compile(r"[^\w.=+-]")
LONGEST_NAME = 200  # bytes, of the 255 that a file's name may have

Point = Mapping[str, str]  # value by field, both as they were typed
Grid = Mapping[str, Sequence[str]]  # values by field


def choices() -> list[str]:
    """Returns the metrics that points can be compared by, each with its split."""
    return [f"{split}.{name}" for split in SPLITS for name in metrics.per_example()]


def best(metric: str) -> Callable[..., Any]:
    """Returns `max` or `min`, whichever finds the best value of one of `choices`."""
    _, name = metric.split(".")
    return max if metrics.METRICS[name].higher_is_better else min


def parse_setting(text: str) -> tuple[str, str]:
    """Reads 'config.field=value', or the same without 'config.'."""
    field, equals, value = text.partition("=")
    if not equals or not field or not value:
        raise UserError(f"{text!r}: expected FIELD=VALUE, such as config.batch_size=64")
    return field_name(field), value


def field_name(text: str) -> str:
    """Reads 'config.field', or the same without 'config.'."""
    return f"config.{text.removeprefix('--').removeprefix('config.')}"


def parse_axis(text: str) -> tuple[str, list[str]]:
    """Reads 'config.field=value,value'; commas in brackets and quotes belong to a value."""
    field, values = parse_setting(text)
    parts, depth = [""], 0
    for token in re.findall(r"'[^']*'|\"[^\"]*\"|.", values, re.DOTALL):
        depth += (token in "([{") - (token in ")]}")
        if token == "," and not depth:
            parts.append("")
        else:
            parts[-1] += token
    if depth or not all(parts):
        raise UserError(f"{text!r}: expected values between commas, with their brackets closed")
    if len(set(parts)) < len(parts):
        raise UserError(f"{text!r} names a value twice")
    return field, parts


def name_of(point: Point) -> str:
    """The folder of a run, such as `stages0.learning_rate=1e-2_batch_size=64`.

    Values that make no name of a folder lose letters, and gain a digest that tells them apart.
    """
    text = "_".join(f"{_short(field)}={value}" for field, value in point.items())
    name = UNNAMABLE.sub("", text)
    short = name.encode()[:LONGEST_NAME].decode(errors="ignore")
    if short == name and not any(map(UNNAMABLE.search, point.values())):
        return name
    digest = hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()
    return f"{short}-{digest}"


def table(metric: str, grid: Grid, results: Mapping[str, float]) -> str:
    """A Markdown table: the first field down, all others across; the best value is bold."""
    down, *across = grid
    best_value = best(metric)(results.values()) if results else None
    columns = list(itertools.product(*(grid[field] for field in across)))
    titles = [
        ", ".join(f"{_short(f)} {v}" for f, v in zip(across, column, strict=True)) or metric
        for column in columns
    ]
    lines = [[f"{metric}: {_short(down)}", *titles], ["---"] * (1 + len(columns))]
    for value in grid[down]:
        cells = [value]
        for column in columns:
            found = results.get(name_of(dict(zip(grid, (value, *column), strict=True))))
            text = "" if found is None else f"{found:.4f}"
            cells.append(f"**{text}**" if found is not None and found == best_value else text)
        lines.append(cells)
    rows = [" | ".join(printable(cell).replace("|", r"\|") for cell in line) for line in lines]
    return "".join(f"| {row} |\n" for row in rows)


def plot(metric: str, grid: Grid, results: Mapping[str, float]) -> Figure:
    """Draws the metric over the first field, one line for each choice of the others."""
    down, *across = grid
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    panel = figure.subplots()
    numbers = [_number(value) for value in grid[down]]
    numeric = all(math.isfinite(number) for number in numbers)
    for column in itertools.product(*(grid[field] for field in across)):
        names = [name_of(dict(zip(grid, (v, *column), strict=True))) for v in grid[down]]
        done = [
            (number if numeric else place, results[name])
            for place, (number, name) in enumerate(zip(numbers, names, strict=True))
            if name in results
        ]
        label = ", ".join(f"{_short(f)} {v}" for f, v in zip(across, column, strict=True))
        (label,) = drawable([label], LEGEND_LETTERS)
        panel.plot(*zip(*sorted(done), strict=True) if done else ([], []), marker="o", label=label)
    if numeric:
        panel.set_xscale(**scale_for(numbers))
    else:
        panel.set_xticks(range(len(numbers)), drawable(grid[down]))
    panel.set(xlabel=_short(down), ylabel=metric)
    panel.grid(alpha=0.3)
    if across:
        panel.legend(frameon=False)
    return figure


def _short(field: str) -> str:
    return field.removeprefix("config.")


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return math.nan

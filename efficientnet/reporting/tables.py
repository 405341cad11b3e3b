"""Results as text tables."""

from collections.abc import Callable, Mapping, Sequence

from efficientnet.metrics import METRICS, Metric
from efficientnet.paths import printable
from efficientnet.records import StageResult

# A cell of a page's table: text, or a name and what follows it, see `text` in macros.html.
Cell = str | tuple[str, str]


def stage_table(stages: Sequence[StageResult]) -> str:
    """Returns the stages of a run as an aligned table, one line per stage."""
    header = ("stage", "trainable", *result_headings(), "seconds", "images/s")
    rows = [
        (
            stage.name,
            f"{stage.parameters.trainable:,}",
            *results(stage.metrics.test, Metric.exact),
            f"{stage.seconds:.0f}",
            f"{stage.images_per_second:.1f}",
        )
        for stage in stages
    ]
    return aligned(header, rows)


def result_headings() -> list[str]:
    """Returns the headings of the columns of `results`."""
    return [heading for metric in _columns() for heading in _headings(metric)]


def _columns() -> list[Metric]:
    return [metric for metric in METRICS.values() if metric.heading]


def _headings(metric: Metric) -> list[str]:
    return [metric.heading, "95 %"] if metric.bounds else [metric.heading]


def results(
    test: Mapping[str, float], write: Callable[[Metric, float], str] = Metric.short
) -> list[str]:
    """Returns a row of results; cells that an earlier version did not compute are empty."""
    cells = []
    for metric in _columns():
        cells.append(write(metric, test[metric.name]) if metric.name in test else "")
        if metric.bounds:
            cells.append(interval(metric, test))
    return cells


def interval(metric: Metric, test: Mapping[str, float]) -> str:
    """Formats the 95 % interval of a metric in percent: '85.4 to 90.4'."""
    assert metric.bounds is not None
    return " to ".join(f"{100 * test[bound]:.1f}" for bound in metric.bounds)


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a text table: the first column left-aligned, the others right-aligned."""
    lines = [[printable(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in lines
    )


def duration(seconds: float) -> str:
    """Formats a duration, such as '5 min 15 s'."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def percent(share: float) -> str:
    """Formats a fraction for tables, such as '89.3 %'."""
    return f"{100 * share:.1f} %"

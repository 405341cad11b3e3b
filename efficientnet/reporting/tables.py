"""Results as text."""

from collections.abc import Mapping, Sequence
from typing import Any


def stage_table(stages: Sequence[Mapping[str, Any]]) -> str:
    """Returns the stages of a `summary.json` as an aligned table, one line a stage."""
    header = ("stage", "trainable", "test top-1", "top-3", "top-5", "loss", "seconds", "photos/s")
    rows = []
    for stage in stages:
        test = stage["metrics"]["test"]
        rows.append(
            (
                stage["name"],
                f"{stage['parameters']['trainable']:,}",
                *(f"{test[name]:.2%}" for name in ("top1", "top3", "top5")),
                f"{test['loss']:.3f}",
                f"{stage['seconds']:.0f}",
                f"{stage['images_per_second']:.1f}",
            )
        )
    return aligned(header, rows)


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table of text: the first column to the left, all others to the right."""
    lines = [header, *rows]
    widths = [max(len(row[column]) for row in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in lines
    )


def duration(seconds: float) -> str:
    """Says how long something took, such as '5 min 15 s'."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def interval(test: Mapping[str, float]) -> str:
    """Writes the 95 % interval of top-1, of `scores.summary`, in percent: '85.4 to 90.4'."""
    return f"{100 * test['top1_low']:.1f} to {100 * test['top1_high']:.1f}"


def percent(share: float) -> str:
    """Writes a fraction for tables, such as '89.3 %'."""
    return f"{100 * share:.1f} %"

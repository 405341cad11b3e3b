"""Results as text."""

from collections.abc import Mapping, Sequence
from typing import Any


def stage_table(stages: Sequence[Mapping[str, Any]]) -> str:
    """Returns the stages of a `summary.json` as an aligned table, one line a stage."""
    header = ("stage", "trainable", "test top-1", "top-3", "top-5", "loss", "seconds", "photos/s")
    rows = [header]
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
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells))
    return "\n".join(lines)

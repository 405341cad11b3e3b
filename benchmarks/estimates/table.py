"""A slice's estimates as a table for people."""

import math
from collections.abc import Iterable, Sequence

from benchmarks.estimates.chips import CHIPS, parse_topology
from benchmarks.estimates.compiled import GIB, Estimate
from benchmarks.estimates.slice import SliceEstimate, versions

HEAD = (
    "program",
    "memory per chip",
    "fits",
    "estimated cycles",
    "images/s per chip",
    "GFLOP per image",
    "MB per image",
    "collectives",
)
# Bytes that a step gathers to look up each image's label.
NEGLIGIBLE = 1e6
# Of the matrix units, which multiply in bfloat16, for a product of float32.
PASSES = {"highest": "six passes", "high": "three passes", "default": "one pass"}


def table(result: SliceEstimate) -> str:
    """Returns Markdown: one row for each program, and the hours."""
    generation, sides = parse_topology(result.topology)
    chip = CHIPS[generation]
    chips = math.prod(sides)
    lines = [HEAD, ("---",) * len(HEAD), *map(_row, result.programs)]
    hours = "unknown" if result.hours is None else f"{result.hours:.2f}"
    return "\n".join(
        [
            f"Estimates of the compiler (libtpu {versions()['libtpu']}), nothing is measured: "
            f"{result.topology}, {chips} chips of {chip.memory_gib:.0f} GiB at "
            f"{chip.clock_hertz / 1e9:.2f} GHz, batch {result.batch_size}, "
            f"{result.batch_size // chips} per chip. Cycles leave out gathers "
            "and waiting for other chips.",
            "",
            f"Precision: {_precision(result)}",
            "",
            *_markdown(lines),
            "",
            f"Hours for the whole run, at these rates: {hours}"
            + (f" ({result.photos} photos train)" if result.photos else " (give --photos)"),
        ]
    )


def _precision(result: SliceEstimate) -> str:
    if result.dtype == "bfloat16":
        return "activations and products of bfloat16, sums in float32 (config.dtype=bfloat16)."
    return (
        f"float32; a product takes {PASSES[result.matmul_precision]} of bfloat16 in training "
        f"(config.matmul_precision={result.matmul_precision}) and six in evaluation."
    )


def _row(estimate: Estimate) -> tuple[str, ...]:
    name, memory = estimate.name, f"{estimate.memory_bytes_per_chip / GIB:.2f} GiB"
    if estimate.estimated_cycles is None:
        return name, memory, "no", *["-"] * (len(HEAD) - 3)
    gathered = estimate.gathered_bytes or 0
    sent = [
        f"{found.count} {found.kind} ({found.bytes / 1e6:.1f} MB)" for found in estimate.collectives
    ]
    return (
        name,
        memory,
        ("yes" if estimate.fits else "no")
        + (f", repeating {again} instructions" if (again := estimate.rematerialized) else ""),
        f"{estimate.estimated_cycles / 1e6:.2f} M"
        + (f" and gathers of {gathered / 1e6:.0f} MB" if gathered > NEGLIGIBLE else ""),
        f"{estimate.images_per_second_per_chip:,.0f}",
        f"{(estimate.flops_per_image or 0) / 1e9:.2f}",
        f"{(estimate.bytes_per_image or 0) / 1e6:.1f}",
        ", ".join(sent) or "none",
    )


def _markdown(rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in rows]

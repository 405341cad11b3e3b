"""A program's cost by layer: the compiler's estimate, and what its code and its memory take."""

import collections
import dataclasses

from benchmarks.estimates import hlo
from benchmarks.estimates.chips import Chip


@dataclasses.dataclass(frozen=True)
class LayerCost:
    """One layer's forward pass or gradient, with all that the compiler made part of it."""

    layer: str  # '' for what belongs to none
    direction: str  # 'forward' or 'gradient'
    estimated_cycles: int
    machine_cycles: int  # bundles of instructions
    hbm_bytes: int  # read and written
    least_cycles: int  # of each kernel the larger: its code's, or its bytes' at full bandwidth


def costs_by_layer(text: str, machine_cycles: dict[str, int], chip: Chip) -> tuple[LayerCost, ...]:
    """Adds up a program's kernels by layer, the one with the most `least_cycles` first.

    Args:
      text: optimized HLO.
      machine_cycles: of each kernel whose code was written down; one without takes those of a
        kernel with the same result and estimate, as equal code is written down once, else its
        estimate.
      chip: one of those it was compiled for.
    """
    kernels = list(hlo.kernels(text))
    same = {
        (kernel.type, kernel.estimated_cycles): machine_cycles[kernel.name]
        for kernel in kernels
        if kernel.name in machine_cycles
    }
    sums: dict[tuple[str, str], list[int]] = collections.defaultdict(lambda: [0] * 4)
    for kernel in kernels:
        estimated = kernel.estimated_cycles
        code = machine_cycles.get(kernel.name, same.get((kernel.type, estimated), estimated))
        moving = round(kernel.hbm_bytes / chip.bytes_per_second * chip.clock_hertz)
        total = sums[hlo.layer_and_pass(kernel.path)]
        for index, one in enumerate((estimated, code, kernel.hbm_bytes, max(code, moving))):
            total[index] += kernel.times * one
    found = [LayerCost(*origin, *total) for origin, total in sums.items()]
    return tuple(sorted(found, key=lambda cost: cost.least_cycles, reverse=True))

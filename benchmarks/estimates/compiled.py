"""One compiled program and what the compiler says about it."""

import contextlib
import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import jax

from benchmarks.estimates import hlo
from benchmarks.estimates.chips import Chip

GIB = 2**30
# "Ran out of memory in memory space hbm. Used 18.21G of 15.75G hbm.", and
# "the total memory required for HLO temporaries (15.76G) exceeds available HBM (15.75G)."; of much
# too large ones it says up to "(170.32P)".
_TOO_LARGE = re.compile(r"(?:Used |temporaries \()([\d.]+)([KMGTP])\)? (?:of|exceeds)")
_UNITS = {unit: 2 ** (10 * power) for power, unit in enumerate("KMGTP", 1)}


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What the compiler reports about one program; none of it is measured.

    The optional fields are None for a program that doesn't fit.
    """

    name: str
    fits: bool
    memory_bytes_per_chip: int
    estimated_cycles: int | None = None  # without gathers and waiting for other chips
    images_per_second_per_chip: float | None = None
    flops_per_image: float | None = None
    bytes_per_image: float | None = None
    collectives: tuple[hlo.Collective, ...] = ()
    gathered_bytes: int | None = None  # on one chip, by kernels that have no estimate
    rematerialized: int | None = None  # instructions, by the compiler's choice, to fit

    @property
    def fits_easily(self) -> bool:
        """Whether it fits without rematerialization by the compiler."""
        return self.fits and not self.rematerialized


@contextlib.contextmanager
def quickly() -> Iterator[None]:
    """Compiles quickly; the memory is nearly right, the cycles are far too many."""
    level = jax.config.values["jax_optimization_level"]
    jax.config.update("jax_optimization_level", "O0")
    try:
        yield
    finally:
        jax.config.update("jax_optimization_level", level)


def estimate(
    name: str, program: Any, arguments: tuple[Any, ...], chip: Chip, per_chip: int
) -> Estimate:
    """Compiles a jitted function for the chips its arguments are on.

    Args:
      name: of the program.
      program: the jitted function.
      arguments: shapes with shardings instead of arrays.
      chip: the generation of these chips.
      per_chip: images per chip.
    """
    try:
        compiled = program.lower(*arguments).compile()
    except jax.errors.JaxRuntimeError as error:
        found = _TOO_LARGE.search(str(error))
        if not found:
            raise
        used = float(found[1]) * _UNITS[found[2]]
        return Estimate(name, fits=False, memory_bytes_per_chip=int(used))
    text = compiled.as_text()
    memory, costs = compiled.memory_analysis(), compiled.cost_analysis()
    needed = (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
        + memory.generated_code_size_in_bytes
    )
    cycles = hlo.estimated_cycles(text)
    return Estimate(
        name,
        fits=needed <= chip.memory_gib * GIB,
        memory_bytes_per_chip=needed,
        estimated_cycles=cycles,
        images_per_second_per_chip=per_chip * chip.clock_hertz / cycles,
        flops_per_image=costs["flops"] / per_chip,
        bytes_per_image=costs["bytes accessed"] / per_chip,
        collectives=hlo.collectives(text),
        gathered_bytes=hlo.gathered_bytes(text),
        rematerialized=hlo.rematerialized(text),
    )

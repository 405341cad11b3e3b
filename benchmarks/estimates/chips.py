"""TPU generations, and the chips of slices to compile for, which need not exist.

Memory and bandwidth are from Google Cloud's pages on each generation
(cloud.google.com/tpu/docs/v4, v5e, v5p, v6e). The clock is their peak rate over the operations per
cycle of the chip's matrix units: 8 units of 128 x 128 on v4 and v5p, 4 on v5e, and 4 of 256 x 256
on v6e.
"""

import dataclasses
import importlib.util
import os
import re

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh

from efficientnet.errors import UserError


@dataclasses.dataclass(frozen=True)
class Chip:
    """One chip of a generation."""

    clock_hertz: float
    memory_gib: float
    bytes_per_second: float  # of that memory
    axes: int  # of the torus


CHIPS = {
    "v4": Chip(1.05e9, 32, 1.228e12, axes=3),
    "v5e": Chip(1.5e9, 16, 8.19e11, axes=2),
    "v5p": Chip(1.75e9, 95, 2.765e12, axes=3),
    "v6e": Chip(1.75e9, 32, 1.64e12, axes=2),
}
MOST_CHIPS = 256


def parse_topology(topology: str) -> tuple[str, tuple[int, ...]]:
    """Parses a topology such as 'v5e:4x4' into the generation and the shape.

    Raises:
      UserError: the generation or the shape is unknown.
    """
    generation, _, shape = topology.partition(":")
    if generation not in CHIPS or not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)*", shape):
        raise UserError(
            f"--topology={topology}: expected GENERATION:SHAPE such as v5e:4x4 or v4:2x2x1, of "
            f"{', '.join(CHIPS)}"
        )
    sides = tuple(int(side) for side in shape.split("x"))
    axes = CHIPS[generation].axes
    if len(sides) != axes or np.prod(sides) > MOST_CHIPS:
        example = "x".join(["2", "2", "1"][:axes])
        raise UserError(
            f"--topology={topology}: a {generation} slice has {axes} sides, such as "
            f"{generation}:{example}, and here at most {MOST_CHIPS} chips"
        )
    return generation, sides


def slice_mesh(topology: str) -> Mesh:
    """Returns the chips of a slice on one axis, `data`, to compile for (but not to run on).

    JAX itself must run elsewhere (JAX_PLATFORMS=cpu).

    Raises:
      UserError: libtpu is not installed, is in use by another process, or knows no such slice.
    """
    generation, sides = parse_topology(topology)
    if importlib.util.find_spec("libtpu") is None:
        raise UserError(
            "the TPU's compiler is not installed: pip install -e '.[tpu]' installs libtpu"
        )
    os.environ.setdefault(
        "TPU_SKIP_MDS_QUERY", "1"
    )  # otherwise it asks for the metadata of a TPU machine
    options = {"chips_per_host_bounds": [1] * 3} if np.prod(sides) == 1 else {}
    try:
        described = topologies.get_topology_desc(
            platform="tpu", topology_name=f"{generation}:{'x'.join(map(str, sides))}", **options
        )
    except (jax.errors.JaxRuntimeError, ValueError, RuntimeError) as error:
        reason = str(error)
        if "lockfile" in reason:
            raise UserError(
                "another process is using libtpu, which serves one at a time: wait for its end"
            ) from error
        raise UserError(
            f"--topology={topology}: libtpu knows no such slice ({reason.splitlines()[0]})"
        ) from error
    return Mesh(np.asarray(described.devices), ("data",))

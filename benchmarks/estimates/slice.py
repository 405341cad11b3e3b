"""The programs of a recipe on a slice: each stage's step, the evaluation, the hours of a run."""

import dataclasses
import functools
import importlib.metadata
import logging
import math
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from benchmarks.estimates import chips, outline
from benchmarks.estimates.chips import CHIPS
from benchmarks.estimates.compiled import GIB, Estimate, estimate, quickly
from efficientnet.config import Dtype, MatmulPrecision, RunConfig, StageConfig
from efficientnet.errors import UserError
from efficientnet.network import freeze_groups
from efficientnet.training import setup
from efficientnet.training.setup import Data

log = logging.getLogger(__name__)

# The largest batch is a multiple of this many images per chip: a tile has 8 sublanes.
STEP = 8
TRIES = 8


@dataclasses.dataclass(frozen=True)
class SliceEstimate:
    """What the compiler reports about a recipe on a slice."""

    topology: str
    batch_size: int  # over all chips
    stages: tuple[Estimate, ...]
    evaluation: Estimate
    photos: int  # that train; 0 where unknown
    dtype: Dtype
    matmul_precision: MatmulPrecision  # of training in float32
    hours: float | None = None  # of a run; None where photos are unknown or something doesn't fit

    @property
    def programs(self) -> tuple[Estimate, ...]:
        """All programs of a run."""
        return *self.stages, self.evaluation

    def to_json(self) -> dict[str, Any]:
        """Returns what `--json` prints."""
        return {
            **dataclasses.asdict(self),
            "source": "estimates of the TPU compiler, nothing is measured",
            "versions": versions(),
        }


def versions() -> dict[str, str]:
    """Returns the versions of the packages that estimates depend on."""
    return {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "libtpu")}


def estimate_slice(
    config: RunConfig,
    topology: str,
    batch_size: int | None = None,
    classes: int | None = None,
    photos: int | None = None,
) -> SliceEstimate:
    """Compiles every program of a recipe for a slice, which need not exist.

    Args:
      config: of the run.
      topology: such as 'v5e:4x4'.
      batch_size: over all chips, instead of the config's; 0 finds the largest that fits without
        rematerialization, with a few quick compilations and a full one.
      classes: number of classes; None takes those of the data.
      photos: number of training photos; None takes those of the data.

    Raises:
      UserError: the recipe, the data or the topology is wrong.
    """
    mesh = chips.slice_mesh(topology)
    if batch_size is not None:
        config = dataclasses.replace(config, batch_size=batch_size or mesh.size * _parts(config))
    setup.check(config, devices=mesh.size)
    data = outline.data_of(config, classes, photos)
    chip = CHIPS[chips.parse_topology(topology)[0]]
    estimated = functools.partial(estimate, chip=chip)

    def compiled(size: int, number: int) -> Estimate:
        experiment = outline.outline(dataclasses.replace(config, batch_size=size), mesh, data)
        program, arguments = outline.train_step(experiment, number)
        name = config.stages[number].name
        return estimated(name, program, arguments, per_chip=size // mesh.size)

    def all_compiled(size: int) -> tuple[Estimate, ...]:
        numbers = tqdm(range(len(config.stages)), "compiling", unit="stage", disable=None)
        return tuple(compiled(size, number) for number in numbers)

    if batch_size == 0:
        with quickly():
            largest = _largest(config, mesh.size, chip.memory_gib * GIB, compiled)
        config = dataclasses.replace(config, batch_size=largest)
    found = all_compiled(config.batch_size)
    unit = _unit(config, mesh.size)
    while batch_size == 0 and config.batch_size > unit and not all(e.fits_easily for e in found):
        less = math.ceil(config.batch_size / 16 / unit) * unit
        config = dataclasses.replace(config, batch_size=config.batch_size - less)
        found = all_compiled(config.batch_size)
    experiment = outline.outline(config, mesh, data)
    per_chip = config.batch_size // mesh.size
    evaluation = estimated("evaluation", *outline.eval_step(experiment), per_chip=per_chip)
    result = SliceEstimate(
        topology,
        config.batch_size,
        found,
        evaluation,
        len(data.train),
        config.dtype,
        config.matmul_precision,
    )
    return dataclasses.replace(result, hours=_hours(config, data, result, mesh.size))


def _largest(
    config: RunConfig, devices: int, limit: float, compiled: Callable[[int, int], Estimate]
) -> int:
    """Returns the largest batch with which every stage fits easily, by compiling a few.

    Memory is nearly linear in the batch size: the next size is where the line through the last two
    that fit meets the limit, or the midpoint if that is known to be too large.
    """
    unit = _unit(config, devices)
    # Memory grows with what trains, so only the stage that needs most is tried; the full
    # compilation of all stages confirms the result.
    stage = max(range(len(config.stages)), key=lambda n: _trained(config.stages[n]))
    fitting = [(0, 0)]
    size, failed = unit, math.inf
    for _ in tqdm(range(TRIES), "largest batch", unit="compilation", disable=None):
        result = compiled(size, stage)
        memory = result.memory_bytes_per_chip
        log.info("batch %d: %.2f GiB per chip", size, memory / GIB)
        if result.fits_easily:
            fitting.append((size, memory))
        else:
            failed = size
        best = fitting[-1][0]
        if len(fitting) > 1:
            (n0, m0), (n1, m1) = fitting[-2:]
            size = n1 + math.floor((limit - m1) / max((m1 - m0) / (n1 - n0), 1.0) / unit) * unit
        if size >= failed:
            size = best + math.floor((failed - best) / 2 / unit) * unit
        if size <= best:
            break
    if not best:
        raise UserError(
            f"not even a batch of {unit} fits: take config.remat=True, more micro_batches or a "
            "chip with more memory"
        )
    return best


def _unit(config: RunConfig, devices: int) -> int:
    return devices * math.lcm(STEP, _parts(config))


def _hours(config: RunConfig, data: Data, result: SliceEstimate, devices: int) -> float | None:
    """Adds up training, validation after each epoch, cached features and the final tests."""
    if not len(data.train) or not all(program.fits for program in result.programs):
        return None

    def seconds(photos: float, program: Estimate) -> float:
        return photos / ((program.images_per_second_per_chip or math.nan) * devices)

    total = 0.0
    for stage, step in zip(config.stages, result.stages, strict=True):
        trained = stage.epochs * len(data.train)
        evaluated = math.ceil(stage.epochs) * len(data.validation) + len(data.test)
        if stage.cached_copies:
            evaluated += stage.cached_copies * len(data.train)
        total += seconds(trained, step) + seconds(evaluated, result.evaluation)
    return total / 3600


def _parts(config: RunConfig) -> int:
    return math.lcm(*(stage.micro_batches for stage in config.stages))


def _trained(stage: StageConfig) -> int:
    return 0 if stage.cached_copies else len(freeze_groups.parse(stage.train))

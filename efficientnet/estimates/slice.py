"""A recipe's programs on a slice: each stage's step, the evaluation, and the hours of a run."""

import copy
import dataclasses
import importlib.metadata
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

from ml_collections import ConfigDict
from tqdm import tqdm

from efficientnet import block_groups
from efficientnet.errors import UserError
from efficientnet.estimates import chips, outline
from efficientnet.estimates.chips import CHIPS
from efficientnet.estimates.compiled import GIB, Estimate, estimate, quickly
from efficientnet.training import checks
from efficientnet.training.experiment import Data

log = logging.getLogger(__name__)

# The largest batch is looked for in multiples of so many images per chip: a tile has 8 sublanes.
STEP = 8
TRIES = 6


@dataclasses.dataclass(frozen=True)
class SliceEstimate:
    """What the compiler says about a recipe on a slice."""

    topology: str
    batch_size: int  # over all chips
    stages: tuple[Estimate, ...]
    evaluation: Estimate
    images: Estimate | None  # of photos on the devices, before each step (config.data.cache)
    photos: int  # that train; 0 where unknown
    hours: float | None  # of the whole run; None where photos are unknown or a stage doesn't fit

    def to_json(self) -> dict[str, Any]:
        """Returns what `--json` prints."""
        return {
            **dataclasses.asdict(self),
            "source": "estimates of the TPU compiler, nothing is measured",
            "versions": versions(),
        }


def versions() -> dict[str, str]:
    """Returns the packages that estimates hang on."""
    return {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "libtpu")}


def estimate_slice(
    config: ConfigDict,
    topology: str,
    batch_size: int | None = None,
    classes: int | None = None,
    photos: int | None = None,
) -> SliceEstimate:
    """Compiles every program of a recipe for a slice that need not be there.

    Args:
      config: a recipe.
      topology: such as 'v5e:4x4'.
      batch_size: over all chips, in place of the config's; 0 takes the largest that fits, found
        with a few quick compilations and confirmed by the full one.
      classes: how many; None counts those of the data.
      photos: that train; None counts those of the data.

    Raises:
      UserError: something in the recipe, the data or the topology can't be.
    """
    mesh = chips.slice_mesh(topology)
    if batch_size is not None:
        config = _with_batch(config, batch_size or mesh.size * _parts(config))
    checks.check(config, devices=mesh.size)
    data = outline.data_of(config, classes, photos)
    chip = CHIPS[chips.parse_topology(topology)[0]]

    def compiled(size: int, number: int) -> Estimate:
        experiment = outline.outline(_with_batch(config, size), mesh, data)
        program, arguments = outline.train_step(experiment, number)
        name = config.stages[number].name
        return estimate(name, program, arguments, chip, size // mesh.size)

    def all_compiled(size: int) -> tuple[Estimate, ...]:
        numbers = tqdm(range(len(config.stages)), "compiling", unit="stage", disable=None)
        return tuple(compiled(size, number) for number in numbers)

    if batch_size == 0:
        with quickly():
            largest = _largest(config, mesh.size, chip.memory_gib * GIB, compiled)
        config = _with_batch(config, largest)
    found = all_compiled(config.batch_size)
    unit = _unit(config, mesh.size)
    while batch_size == 0 and config.batch_size > unit and not all(e.fits for e in found):
        config = _with_batch(config, config.batch_size - unit)
        found = all_compiled(config.batch_size)
    experiment = outline.outline(config, mesh, data)
    evaluation = estimate(
        "evaluation",
        *outline.eval_step(experiment),
        chip,
        experiment.eval_batch_size // mesh.size,
    )
    images = None
    if config.data.cache == "device":
        images = estimate(
            "images", *outline.images_program(experiment), chip, config.batch_size // mesh.size
        )
    return SliceEstimate(
        topology=topology,
        batch_size=config.batch_size,
        stages=found,
        evaluation=evaluation,
        images=images,
        photos=len(data.train),
        hours=_hours(config, data, found, evaluation, images, mesh.size),
    )


def _largest(
    config: ConfigDict, devices: int, limit: float, compiled: Callable[[int, int], Estimate]
) -> int:
    """Returns the largest batch with which every stage fits; each size tried is compiled.

    Memory is nearly a straight line over the batch, so it goes from line to line.
    """
    unit = _unit(config, devices)
    best, failed = 0, math.inf
    points: list[tuple[int, int]] = []
    # Memory grows with what trains: the hungriest stage is tried, and the others confirm.
    order = sorted(range(len(config.stages)), key=lambda n: -_trained(config.stages[n]))
    size = unit
    with tqdm(desc="largest batch", unit="compilation", disable=None) as line:
        for _ in range(TRIES):
            for number in order if points else order[:1]:
                result = compiled(size, number)
                line.update()
                if not result.fits:
                    break
            log.info("batch %d: %.2f GiB per chip", size, result.memory_bytes_per_chip / GIB)
            best, failed = (max(best, size), failed) if result.fits else (best, min(failed, size))
            points.append((size, result.memory_bytes_per_chip))
            last = points[-2:] if len(points) > 1 else [(0, 0), *points]
            (n0, m0), (n1, m1) = last
            slope = max((m1 - m0) / (n1 - n0), 1.0)
            size = n1 + math.floor((limit - m1) / slope / unit) * unit
            size = int(min(size, failed - unit))
            if size <= best:
                break
    if not best:
        raise UserError(
            f"not even a batch of {unit} fits: take config.remat=True, more micro_batches or a "
            "chip with more memory"
        )
    return best


def _unit(config: ConfigDict, devices: int) -> int:
    return devices * math.lcm(STEP, _parts(config))


def _hours(
    config: ConfigDict,
    data: Data,
    stages: Sequence[Estimate],
    evaluation: Estimate,
    images: Estimate | None,
    devices: int,
) -> float | None:
    """Adds up training, the validation after each epoch, cached features and the final tests."""
    programs = [*stages, evaluation, *([images] if images else [])]
    if not len(data.train) or not all(program.fits for program in programs):
        return None

    def seconds(photos: float, program: Estimate) -> float:
        return photos / ((program.images_per_second_per_chip or math.nan) * devices)

    total = 0.0
    for stage, step in zip(config.stages, stages, strict=True):
        trained = stage.epochs * len(data.train)
        evaluated = math.ceil(stage.epochs) * len(data.validation) + len(data.test)
        if stage.cached_copies:
            evaluated += stage.cached_copies * len(data.train)
        elif images:
            total += seconds(trained, images)
        total += seconds(trained, step) + seconds(evaluated, evaluation)
    return total / 3600


def _with_batch(config: ConfigDict, size: int) -> ConfigDict:
    changed = copy.deepcopy(config)
    changed.batch_size = size
    return changed


def _parts(config: ConfigDict) -> int:
    return math.lcm(*(stage.micro_batches for stage in config.stages))


def _trained(stage: ConfigDict) -> int:
    return 0 if stage.cached_copies else len(block_groups.parse(stage.train))

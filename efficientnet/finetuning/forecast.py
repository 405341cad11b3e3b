"""How long a recipe will take here, from a few measured steps of its network and its photos."""

import concurrent.futures
import contextlib
import time
from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from efficientnet.config import RunConfig, StageConfig
from efficientnet.finetuning import facts
from efficientnet.finetuning.facts import Photos
from efficientnet.network import freeze_groups
from efficientnet.network.model import init_variables
from efficientnet.network.summary import summarize
from efficientnet.network.variants import get_variant
from efficientnet.runtime import devices
from efficientnet.training import start, steps
from efficientnet.training.losses import BatchMetrics
from efficientnet.weights import Pretrained
from input_pipeline import Augmentation, decode
from input_pipeline.sources.split import Split

MEASURED_SECONDS = 1.0
# A gradient is twice the work of the layers that it is for.
GRADIENT = 2.0
# A training step takes so many times as long to compile as the network's outputs alone.
COMPILES = 2.5


class Speed(NamedTuple):
    """How fast this machine is with a network and its photos.

    Attributes:
      images_per_second: that are classified, with all devices.
      compile_seconds: before the first of them.
      photo_seconds: to read, decode and augment a photo, with all cores at work.
      shared_cores: whether the cores that prepare photos also compute.
    """

    images_per_second: float
    compile_seconds: float
    photo_seconds: float
    shared_cores: bool


def measure(
    config: RunConfig, train: Split, num_classes: int, pretrained: Pretrained | None
) -> Speed:
    """Evaluates black images for a second, with weights that are zero; and prepares some photos.

    The program is that of the run's evaluations, which then find it compiled.

    Args:
      config: of the run.
      train: photos to train on.
      num_classes: of the data.
      pretrained: the weights; None for random ones.
    """
    variant = get_variant(config.variant)
    known = pretrained.conventions if pretrained else start.conventions(variant)
    mesh = Mesh(np.asarray(jax.local_devices()), ("data",))
    model = start.model(config, num_classes, known.padding, known.bn_epsilon, mesh)
    side, channels = config.resolution or variant.resolution, config.channels
    shown = known.preprocessing.gray() if channels == 1 else known.preprocessing
    program = steps.make_eval_step(
        model, mesh, mean=shown.mean, std=shown.std, deterministic=config.deterministic
    )
    shapes = jax.eval_shape(lambda key: init_variables(model, key, channels), jax.random.key(0))
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    variables, nothing = devices.place((zeros, BatchMetrics.empty()), mesh)
    size = config.batch_size // jax.process_count()
    black = {
        "image": np.zeros((size, side, side, channels), np.uint8),
        "label": np.zeros(size, np.int32),
        "index": np.zeros(size, np.int64),
        "mask": np.ones(size, bool),
    }
    (batch,) = devices.to_devices([black], mesh)
    begin = time.perf_counter()
    jax.block_until_ready(program(variables, nothing, batch))
    compiled = time.perf_counter()
    count = 0
    while time.perf_counter() - compiled < MEASURED_SECONDS:
        jax.block_until_ready(program(variables, nothing, batch))
        count += 1
    rate = count * config.batch_size / (time.perf_counter() - compiled)
    augmentation = Augmentation(config.augment, side, channels)
    shared = mesh.devices.flat[0].platform == "cpu"
    return Speed(rate, compiled - begin, _photo_seconds(train, augmentation), shared)


def _photo_seconds(photos: Split, augmentation: Augmentation) -> float:
    chosen = facts.some_of(photos)

    def prepare(index: int) -> None:
        with contextlib.suppress(*decode.UNREADABLE):
            augmentation(photos.read(index), [0.5] * augmentation.draws, (0, index))

    begin = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor() as threads:
        list(threads.map(prepare, chosen.tolist()))
    return (time.perf_counter() - begin) / len(chosen)


def stage_seconds(config: RunConfig, photos: Photos, speed: Speed) -> Iterator[tuple[str, float]]:
    """Yields each stage's name, and how long it will take.

    Photos are prepared while the devices compute, so that only the slower of both counts; but not
    where both share the cores.
    """
    validation = photos.validation or photos.train * config.data.validation_fraction
    train = photos.train - (0 if photos.validation else validation)
    compiles = 1.0  # the evaluation
    for stage in config.stages:
        if stage.cached_copies:
            seen, work, rounds = stage.cached_copies * train, 1.0, 1.0
        else:
            seen, rounds = train * stage.epochs, stage.epochs
            work = 1 + GRADIENT * _share(config, stage)
            compiles += COMPILES
        evaluated = validation * rounds + photos.test
        prepared = evaluated + (min(seen, train) if config.data.cache else seen)
        computing = (seen * work + evaluated) / speed.images_per_second
        preparing = prepared * speed.photo_seconds / jax.process_count()
        both = computing + preparing if speed.shared_cores else max(computing, preparing)
        yield stage.name, both + compiles * speed.compile_seconds
        compiles = 0.0


def _share(config: RunConfig, stage: StageConfig) -> float:
    """Returns how much of the network's arithmetic is in the freeze groups of a stage."""
    variant = get_variant(config.variant)
    total = summarize(variant, 1, config.resolution or variant.resolution, config.channels)
    groups = freeze_groups.parse(stage.train)
    parts = [part for part in total.parts() if part.depth == 0 and part.name in groups]
    return sum(part.multiply_adds for part in parts) / total.multiply_adds


def described(config: RunConfig, photos: Photos, speed: Speed) -> str:
    """Returns a sentence about the time that the run will take."""
    stages = dict(stage_seconds(config, photos, speed))
    each = ", ".join(f"{about(seconds)} for {name}" for name, seconds in stages.items())
    return (
        f"this will take about {about(sum(stages.values()))}: {each}; "
        f"{config.variant} classifies {speed.images_per_second:,.0f} images per second here"
    )


def about(seconds: float) -> str:
    """Formats a duration as roughly as it is known: '40 s', '7 min', '2.5 h'."""
    if seconds < 95:
        return f"{max(10 * round(seconds / 10), 10)} s"
    if seconds < 95 * 60:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"

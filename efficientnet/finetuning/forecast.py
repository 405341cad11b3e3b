"""How long a decided recipe will take here, from a few measured steps of its network."""

import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from efficientnet.config import RunConfig
from efficientnet.finetuning.facts import Photos
from efficientnet.finetuning.rules import Decisions
from efficientnet.network import freeze_groups
from efficientnet.network.model import EfficientNet, init_variables
from efficientnet.network.summary import summarize
from efficientnet.network.variants import get_variant
from efficientnet.runtime import devices
from efficientnet.training import feature_cache

MEASURED_SECONDS = 1.0
# A gradient is twice the work of the layers that it is for.
GRADIENT = 2.0
# A training step takes so many times as long to compile as the network's outputs alone.
COMPILES = 2.5


class Speed(NamedTuple):
    """How fast this machine is with a network.

    Attributes:
      images_per_second: that are classified, with all devices.
      compile_seconds: before the first of them.
    """

    images_per_second: float
    compile_seconds: float


def measure(made: Decisions, photos: Photos) -> Speed:
    """Computes features of black images for a second, with weights that are zero.

    The program is that of a first stage on features, which then finds it compiled.
    """
    side, channels = made["resolution"], made["channels"]
    known = made.conventions
    model = EfficientNet(
        get_variant(made["variant"]),
        photos.classes,
        padding=known.padding,
        bn_epsilon=known.bn_epsilon,
        dtype=jnp.dtype(made["dtype"]),
    )
    shown = known.preprocessing.gray() if channels == 1 else known.preprocessing
    mean, std = (np.asarray(values, np.float32) for values in (shown.mean, shown.std))
    mesh = Mesh(np.asarray(jax.local_devices()), ("data",))
    shapes = jax.eval_shape(lambda key: init_variables(model, key, channels), jax.random.key(0))
    variables = devices.place(jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes), mesh)
    size = made["batch_size"] // jax.process_count()
    blank = {
        "image": np.zeros((size, side, side, channels), np.uint8),
        "index": np.zeros(size, np.int64),
        "mask": np.ones(size, bool),
    }
    (batch,) = devices.to_devices([blank], mesh)
    deterministic = made.given.get("deterministic", RunConfig.deterministic)
    compute = feature_cache.program(model, mesh, mean, std, deterministic)
    begin = time.perf_counter()
    jax.block_until_ready(compute(variables, batch))
    compiled = time.perf_counter()
    steps = 0
    while time.perf_counter() - compiled < MEASURED_SECONDS:
        jax.block_until_ready(compute(variables, batch))
        steps += 1
    seconds = time.perf_counter() - compiled
    return Speed(steps * made["batch_size"] / seconds, compiled - begin)


def stage_seconds(made: Decisions, photos: Photos, speed: Speed) -> Iterator[tuple[str, float]]:
    """Yields each stage's name, and how long it will take.

    Reading and decoding count where they are slower than the devices.
    """
    validation = photos.validation or photos.train * made["data.validation_fraction"]
    train = photos.train - (0 if photos.validation else validation)
    rate = speed.images_per_second
    for stage in made.stages:
        fields: Mapping[str, Any] = stage.value
        copies = fields.get("cached_copies", 0)
        if copies:
            seen, images, compiles = copies * train, copies * train, 2.0
            rounds = 1.0
        else:
            work = 1 + GRADIENT * _share(made, fields["train"])
            seen, images = train * fields["epochs"], train * fields["epochs"] * work
            compiles, rounds = COMPILES, fields["epochs"]
        evaluated = validation * rounds + photos.test
        decoding = (seen + evaluated) * photos.decode_seconds
        if made["data.cache"]:
            decoding = evaluated * photos.decode_seconds
        computing = (images + evaluated) / rate
        yield fields["name"], max(computing, decoding) + compiles * speed.compile_seconds


def _share(made: Decisions, trains: str) -> float:
    """Returns how much of the network's arithmetic is in these freeze groups."""
    total = summarize(get_variant(made["variant"]), 1, made["resolution"], made["channels"])
    groups = freeze_groups.parse(trains)
    parts = [part for part in total.parts() if part.depth == 0 and part.name in groups]
    return sum(part.multiply_adds for part in parts) / total.multiply_adds


def described(made: Decisions, photos: Photos, speed: Speed) -> str:
    """Returns a sentence about the time that the run will take."""
    stages = dict(stage_seconds(made, photos, speed))
    each = ", ".join(f"{about(seconds)} for {name}" for name, seconds in stages.items())
    return (
        f"this will take about {about(sum(stages.values()))}: {each}; "
        f"{made['variant']} classifies {speed.images_per_second:,.0f} images per second here"
    )


def about(seconds: float) -> str:
    """Formats a duration as roughly as it is known: '40 s', '7 min', '2.5 h'."""
    if seconds < 95:
        return f"{max(10 * round(seconds / 10), 10)} s"
    if seconds < 95 * 60:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"

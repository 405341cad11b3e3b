"""Decoded photos in the accelerators' memory, cropped and colored there: only plans move."""

import dataclasses
import functools
import logging
import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

import input_pipeline
from efficientnet.compiler_options import compiler_options
from efficientnet.errors import UserError
from efficientnet.training import device_pixels, feed
from efficientnet.training.experiment import Experiment, decode_once

log = logging.getLogger(__name__)

# Of a device's memory, what photos may take: the rest is for the network.
SHARE = 0.5


@dataclasses.dataclass(frozen=True)
class DeviceExperiment(Experiment):
    """An experiment whose photos are on the devices, split over them.

    For training the host draws crops and colors as it does for batches of its own, and sends a few
    numbers a photo; only the noise of `gaussian_noise` comes from another stream, of the same
    (seed, epoch, example). Pixels differ from the host's by rounding and by how sharp a shrunk
    photo is. For evaluation the host's own batches stay there once they have been, if they fit.
    """

    photos: jax.Array = dataclasses.field(kw_only=True)  # uint8 [photos or more, side, side, c]
    # By the id of their split, which is kept too: an id is only its own as long as it lives.
    kept: dict[int, tuple[input_pipeline.Split, list[dict[str, Any]]]] = dataclasses.field(
        default_factory=dict
    )

    def batches_on_devices(self, start_step: int, num_steps: int) -> Iterator[dict[str, Any]]:
        """See `Experiment`."""
        plans = train_plans(self, start_step, num_steps)
        for plan in feed.to_devices(plans, self.mesh):
            yield {**plan, "image": self._images(self.photos, plan)}

    def eval_batches_on_devices(self, split: input_pipeline.Split) -> Iterator[dict[str, Any]]:
        """See `Experiment`."""
        if id(split) in self.kept:
            yield from self.kept[id(split)][1]
            return
        rows = math.ceil(len(split) / self.config.batch_size) * self.config.batch_size
        size = rows * math.prod(self.example.shape)
        held = sum(batch["image"].nbytes for _, kept in self.kept.values() for batch in kept)
        keep = fits(self.photos.nbytes + held + size, self.mesh)
        where = "stay on the devices, where they" if keep else "do not fit onto the devices: they"
        log.info(
            "%d photos to evaluate on %s take %.0f MB of each",
            len(split),
            where,
            size / self.mesh.size / 1e6,
        )
        batches = []
        for batch in super().eval_batches_on_devices(split):
            if keep:
                batches.append(batch)
            yield batch
        if keep:
            self.kept[id(split)] = split, batches

    @functools.cached_property
    def _images(self) -> Any:
        return images_program(self)


def train_plans(
    experiment: Experiment, start_step: int, num_steps: int
) -> Iterator[dict[str, np.ndarray]]:
    """Yields this process's part of `num_steps` plans, see `input_pipeline.train_plans`."""
    config = experiment.config
    return input_pipeline.train_plans(
        experiment.data.train,
        batch_size=config.batch_size,
        cached=config.data.cache_resolution,
        resolution=experiment.resolution,
        num_steps=num_steps,
        channels=config.channels,
        augment=config.augment,
        seed=config.seed,
        start_step=start_step,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )


def images_program(experiment: Experiment) -> Any:
    """Returns the jitted function that makes a batch of photos and a plan.

    Photos uint8 [photos, side, side, c], the plan (see `input_pipeline.train_plans`) and images
    uint8 [b, resolution, resolution, c] are split over the devices.
    """
    config, resolution = experiment.config, experiment.resolution
    move, operations = input_pipeline.photometric(config.augment, resolution, config.channels)
    sample = device_pixels.turn if move.skews else device_pixels.resample

    def images(photos: jax.Array, plan: dict[str, jax.Array]) -> jax.Array:
        moved = sample(photos[plan["index"]], plan["matrix"], resolution)
        return device_pixels.change_colors(jnp.round(moved), operations, plan, config.seed)

    return jax.jit(
        images,
        out_shardings=feed.by_example(experiment.mesh),
        compiler_options=compiler_options(experiment.mesh),
    )


def placed(experiment: Experiment) -> Experiment:
    """Moves the training photos to the devices, if `config.data.cache` wants them there.

    Every process decodes all of them, and keeps them in its own memory too.

    Raises:
      UserError: they take more than half of a device's memory, a photo can't be read, or the
        augmentation is one that only the host can do.
    """
    config, mesh = experiment.config, experiment.mesh
    if config.data.cache != "device":
        return experiment
    input_pipeline.photometric(config.augment, experiment.resolution, config.channels)
    held = photos_shape(experiment)
    size = math.prod(held)
    log.info("the decoded photos take %.0f MB of each device", size / mesh.size / 1e6)
    if not fits(size, mesh):
        raise UserError(
            f"the decoded photos take {size / mesh.size / 1e6:.0f} MB of each device, of which at "
            "most half is for them: take a smaller config.data.cache_resolution, or cache='memory'"
        )

    decoded = decode_once(config, experiment.data.train, experiment.skipped)
    photos = (
        decoded.photos if len(decoded.rows) == len(decoded.photos) else decoded.photos[decoded.rows]
    )

    def part(index: tuple[slice, ...] | None) -> np.ndarray:
        assert index
        first, last, _ = index[0].indices(held[0])
        there = photos[first:last]
        return np.pad(there, [(0, last - first - len(there)), (0, 0), (0, 0), (0, 0)])

    data = dataclasses.replace(experiment.data, train=decoded.split)
    on_devices = jax.make_array_from_callback(held, feed.by_example(mesh), part)
    return experiment.as_kind(DeviceExperiment, data=data, photos=on_devices)


def photos_shape(experiment: Experiment) -> tuple[int, int, int, int]:
    """Of the array of training photos, with padding so that each device holds as many."""
    config, devices = experiment.config, experiment.mesh.size
    side = config.data.cache_resolution
    rows = math.ceil(len(experiment.data.train) / devices) * devices
    return rows, side, side, config.channels


def fits(size: int, mesh: Mesh) -> bool:
    """Whether so many bytes, split over all devices, leave enough of their memory."""
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    return not limit or size / mesh.size <= SHARE * limit

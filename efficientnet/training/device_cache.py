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
from jax.scipy.ndimage import map_coordinates
from jax.sharding import Mesh

import input_pipeline
from efficientnet.compiler_options import compiler_options
from efficientnet.errors import UserError
from efficientnet.training import feed
from efficientnet.training.experiment import Experiment, decode_once
from input_pipeline.color import ColorJitter, GaussianNoise, Grayscale, RandomErasing
from input_pipeline.decode import LUMA
from input_pipeline.sampler import THIN

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
    sample = turn if move.skews else resample

    def images(photos: jax.Array, plan: dict[str, jax.Array]) -> jax.Array:
        moved = sample(photos[plan["index"]], plan["matrix"], resolution)
        return change_colors(jnp.round(moved), operations, plan, config.seed)

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


def resample(photos: jax.Array, matrix: jax.Array, target: int) -> jax.Array:
    """Cuts a window from each photo, resizes it with antialiasing and mirrors it.

    Args:
      photos: uint8 [N, H, W, C].
      matrix: [N, 2, 3], target point -> photo point, without turn or shear; negative scales mirror.
      target: side of the result.

    Returns:
      float32 [N, target, target, C], by two matrix products.
    """
    down, across = (
        _weights(matrix[:, axis, axis], matrix[:, axis, 2], target, photos.shape[2 - axis])
        for axis in (1, 0)
    )
    rows = jnp.einsum("nth,nhwc->ntwc", down, photos.astype(jnp.float32))
    return jnp.einsum("nuw,ntwc->ntuc", across, rows)


def turn(photos: jax.Array, matrix: jax.Array, target: int) -> jax.Array:
    """Samples each photo bilinearly by any affine matrix, as `input_pipeline.sampler` does.

    Args:
      photos: uint8 [N, H, W, C].
      matrix: [N, 2, 3], target point -> photo point; what lies outside is black.
      target: side of the result.

    Returns:
      float32 [N, target, target, C].
    """
    step = jnp.linalg.norm(matrix[:, :, :2], axis=2)  # along x and y
    blur = jnp.where(step > THIN, jnp.minimum((step**2 - 1) / 8, 0.3), 0)[:, :, None, None, None]
    images = photos.astype(jnp.float32)
    for axis in (1, 2):
        around = [(0, 0)] * 4
        around[axis] = (1, 1)
        edged = jnp.pad(images, around, "edge")
        weight, size = blur[:, 2 - axis], images.shape[axis]
        neighbors = [jax.lax.slice_in_dim(edged, at, at + size, axis=axis) for at in (0, 2)]
        images = (1 - 2 * weight) * images + weight * sum(neighbors)

    middle = jnp.arange(target) + 0.5
    points = jnp.stack([*jnp.meshgrid(middle, middle), jnp.ones((target, target))])

    def one(image: jax.Array, matrix: jax.Array) -> jax.Array:
        x, y = jnp.einsum("ij,jvu->ivu", matrix, points) - 0.5
        sample = functools.partial(map_coordinates, coordinates=[y, x], order=1)
        return jax.vmap(sample, in_axes=2, out_axes=2)(image)

    return jax.vmap(one)(images, matrix)


def _weights(scale: jax.Array, offset: jax.Array, target: int, size: int) -> jax.Array:
    """[N, target, size]: triangles about each point's place, cut off at the window's pixels."""
    pixel = jnp.arange(size) + 0.5
    scale, offset = scale[:, None, None], offset[:, None, None]
    place = scale * (jnp.arange(target)[:, None] + 0.5) + offset
    weights = jnp.maximum(1 - jnp.abs(pixel - place) / jnp.maximum(jnp.abs(scale), 1), 0)
    ends = (offset, offset + scale * target)
    # The tolerance is for rounding errors of whole-pixel windows.
    low, high = jnp.minimum(*ends) + 1e-2, jnp.maximum(*ends) - 1e-2
    weights = jnp.where((pixel > jnp.floor(low)) & (pixel < jnp.ceil(high)), weights, 0)
    return weights / jnp.sum(weights, axis=-1, keepdims=True)


def change_colors(
    images: jax.Array, operations: list[Any], plan: dict[str, jax.Array], seed: int
) -> jax.Array:
    """Applies operations of `input_pipeline.color` to float32 [N, H, W, C]; returns uint8."""
    draws = plan["draws"]
    for number, operation in enumerate(operations):
        own, draws = draws[:, : operation.draws].T, draws[:, operation.draws :]
        match operation:
            case ColorJitter():
                images = _jitter(images, operation, own)
            case Grayscale():
                gray = own[0] < operation.probability
                images = jnp.where(gray[:, None, None, None], _luma(images), images)
            case GaussianNoise():
                images += operation.std * _noise(images, plan, seed, number)
            case RandomErasing():
                images = _erase(images, operation, own)
        images = jnp.clip(images, 0, 255)
    return jnp.round(images).astype(jnp.uint8)


def _luma(images: jax.Array) -> jax.Array:
    if images.shape[-1] == 1:
        return images
    return jnp.sum(images * jnp.asarray(LUMA), axis=-1, keepdims=True)


def _jitter(images: jax.Array, operation: ColorJitter, draws: jax.Array) -> jax.Array:
    strengths = (operation.brightness, operation.contrast, operation.saturation)
    brightness, contrast, saturation = (
        (max(0.0, 1 - s) + (1 + s - max(0.0, 1 - s)) * draw)[:, None, None, None]
        for s, draw in zip(strengths, draws[:3], strict=True)
    )
    luma = _luma(images)
    gray = contrast * luma + (1 - contrast) * jnp.mean(luma, (1, 2), keepdims=True)
    full = contrast * images + (1 - contrast) * jnp.mean(luma, (1, 2), keepdims=True)
    images = jnp.clip(brightness * (saturation * full + (1 - saturation) * gray), 0, 255)
    if operation.hue and images.shape[-1] == 3:
        images = _turn_hue(images, (2 * draws[3] - 1) * operation.hue)
    return images


def _turn_hue(images: jax.Array, turn: jax.Array) -> jax.Array:
    """Turns the color circle by a fraction of it for each image; keeps what HSV calls S and V."""
    red, green, blue = jnp.moveaxis(images, -1, 0)
    value = jnp.max(images, -1)
    chroma = value - jnp.min(images, -1)
    some = jnp.where(chroma > 0, chroma, 1)
    sixths = jnp.where(
        value == red,
        (green - blue) / some,
        jnp.where(value == green, 2 + (blue - red) / some, 4 + (red - green) / some),
    )
    place = sixths + 6 * turn[:, None, None]
    place = (place[..., None] + jnp.array([5.0, 3.0, 1.0])) % 6
    below = jnp.clip(jnp.minimum(place, 4 - place), 0, 1)
    return value[..., None] - chroma[..., None] * below


def _noise(images: jax.Array, plan: dict[str, jax.Array], seed: int, number: int) -> jax.Array:
    stream = jax.random.fold_in(jax.random.key(seed), number)

    def one(epoch: jax.Array, index: jax.Array) -> jax.Array:
        key = jax.random.fold_in(jax.random.fold_in(stream, epoch), index)
        return jax.random.normal(key, images.shape[1:])

    return jax.vmap(one)(plan["epoch"], plan["index"])


def _erase(images: jax.Array, operation: RandomErasing, draws: jax.Array) -> jax.Array:
    height, width = images.shape[1:3]
    happens, area, ratio, *corner = draws
    area = (operation.scale[0] + (operation.scale[1] - operation.scale[0]) * area) * height * width
    logs = np.log(operation.ratio)
    ratio = jnp.exp(logs[0] + (logs[1] - logs[0]) * ratio)
    inside = (happens < operation.probability)[:, None, None]
    for axis, (size, side) in enumerate(
        ((height, jnp.sqrt(area * ratio)), (width, jnp.sqrt(area / ratio)))
    ):
        side = jnp.minimum(jnp.round(side), size)
        first = jnp.floor(corner[axis] * (size - side + 1))[:, None]
        place = jnp.arange(size)
        covered = (place >= first) & (place < first + side[:, None])
        inside &= covered[:, :, None] if axis == 0 else covered[:, None, :]
    return jnp.where(inside[..., None], operation.fill, images)

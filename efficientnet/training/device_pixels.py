"""Crops, turns and colors photos on the devices, as `input_pipeline` does on the host."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates

from input_pipeline.color import ColorJitter, GaussianNoise, Grayscale, RandomErasing
from input_pipeline.decode import LUMA
from input_pipeline.sampler import THIN
from input_pipeline.window import ROUNDING


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


def _weights(scale: jax.Array, offset: jax.Array, target: int, size: int) -> jax.Array:
    """[N, target, size]: triangles about each point's place, cut off at the window's pixels."""
    pixel = jnp.arange(size) + 0.5
    scale, offset = scale[:, None, None], offset[:, None, None]
    place = scale * (jnp.arange(target)[:, None] + 0.5) + offset
    weights = jnp.maximum(1 - jnp.abs(pixel - place) / jnp.maximum(jnp.abs(scale), 1), 0)
    ends = (offset, offset + scale * target)
    low, high = jnp.minimum(*ends) + ROUNDING, jnp.maximum(*ends) - ROUNDING
    weights = jnp.where((pixel > jnp.floor(low)) & (pixel < jnp.ceil(high)), weights, 0)
    return weights / jnp.sum(weights, axis=-1, keepdims=True)


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
    # As `sampler.softening`.
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


def change_colors(
    images: jax.Array, operations: list[Any], plan: dict[str, jax.Array], seed: int
) -> jax.Array:
    """Applies operations of `input_pipeline.color` to float32 [N, H, W, C]; returns uint8."""
    draws = plan["draws"]
    for number, operation in enumerate(operations):
        own, draws = [*draws[:, : operation.draws].T], draws[:, operation.draws :]
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


def _jitter(images: jax.Array, operation: ColorJitter, draws: Sequence[jax.Array]) -> jax.Array:
    brightness, contrast, saturation = (
        factor[:, None, None, None] for factor in operation.factors(draws)
    )
    luma = _luma(images)
    middle = (1 - contrast) * jnp.mean(luma, (1, 2), keepdims=True)
    gray, full = contrast * luma + middle, contrast * images + middle
    images = jnp.clip(brightness * (saturation * full + (1 - saturation) * gray), 0, 255)
    if operation.hue and images.shape[-1] == 3:
        images = _turn_hue(images, operation.turn(draws))
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


def _erase(images: jax.Array, operation: RandomErasing, draws: Sequence[jax.Array]) -> jax.Array:
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

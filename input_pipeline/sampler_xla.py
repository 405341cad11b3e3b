"""Bilinear sampling by an affine matrix, and change of colors, each compiled by XLA into one loop.

TensorFlow's own ImageProjectiveTransformV3 goes pixel by pixel and channel by channel; this takes
about a third of its time. Between the loops a pixel is one integer of three bytes: written channel
by channel, XLA would compute all of a pixel three times.
"""

import functools
from collections.abc import Callable

from input_pipeline.decode import LUMA
from input_pipeline.quiet_tensorflow import tf


def sample(
    image: tf.Tensor,
    matrix: tf.Tensor,
    target: int,
    beyond: str,
    factors: tf.Tensor | None,
) -> tf.Tensor:
    """See `sampler.sample`; blurs nothing."""
    size = tf.shape(image)[:2]
    channels = image.shape[-1]
    # XLA compiles for each length: powers of two are few.
    exponent = tf.math.ceil(tf.math.log(tf.cast(size[0] * size[1], tf.float32)) / LOG_2 - 1e-5)
    room = tf.cast(tf.pow(2.0, exponent), tf.int32) * channels
    flat = tf.reshape(image, [-1])
    flat = tf.pad(flat, [[0, tf.maximum(room - tf.size(flat), 0)]])
    pixels = _sampling(target, channels, beyond)(flat, size, matrix)
    if factors is None:
        return _unpacking(target, channels)(pixels)
    return _coloring(target, channels)(pixels, factors)


LOG_2 = 0.6931472


@functools.cache
def _sampling(target: int, channels: int, beyond: str) -> Callable[..., tf.Tensor]:
    """Pixels, size and matrix -> int32 [target, target] of `channels` bytes."""

    def loop(flat: tf.Tensor, size: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
        corners, weights = _corners(size, matrix, target, beyond)
        packed = tf.zeros([target, target], tf.int32)
        for channel in range(channels):
            value = tf.zeros([target, target])
            for corner, weight in zip(corners, weights, strict=True):
                value += tf.cast(tf.gather(flat, channels * corner + channel), tf.float32) * weight
            packed += tf.cast(value + 0.5, tf.int32) * 256**channel
        return packed

    return _compiled(
        loop,
        tf.TensorSpec([None], tf.uint8),
        tf.TensorSpec([2], tf.int32),
        tf.TensorSpec([3, 3], tf.float32),
    )


def _corners(
    size: tf.Tensor, matrix: tf.Tensor, target: int, beyond: str
) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
    """Flat indices of the four pixels around each point, and their weights."""
    center = tf.range(target, dtype=tf.float32) + 0.5
    x, y = center[None, :], center[:, None]
    # Pixels are counted at their centers.
    at_x = matrix[0, 0] * x + matrix[0, 1] * y + (matrix[0, 2] - 0.5)
    at_y = matrix[1, 0] * x + matrix[1, 1] * y + (matrix[1, 2] - 0.5)
    limits = tf.cast(size, tf.float32)

    def neighbors(at: tf.Tensor, limit: tf.Tensor) -> list[tuple[tf.Tensor, tf.Tensor]]:
        first = tf.floor(at)
        found = []
        for place, weight in ((first, 1 - (at - first)), (first + 1, at - first)):
            if beyond == "black":
                weight = tf.where((place >= 0) & (place < limit), weight, 0.0)
            found.append((tf.cast(tf.clip_by_value(place, 0.0, limit - 1), tf.int32), weight))
        return found

    rows, columns = neighbors(at_y, limits[0]), neighbors(at_x, limits[1])
    corners = [row * size[1] + column for row, _ in rows for column, _ in columns]
    weights = [by_row * by_column for _, by_row in rows for _, by_column in columns]
    return corners, weights


def _bytes(packed: tf.Tensor, channels: int) -> tf.Tensor:
    """int32 [target, target] -> int32 [target, target, channels]."""
    shifts = tf.constant([0, 8, 16][:channels])
    return tf.bitwise.bitwise_and(tf.bitwise.right_shift(packed[..., None], shifts), 255)


@functools.cache
def _unpacking(target: int, channels: int) -> Callable[..., tf.Tensor]:
    return _compiled(
        lambda packed: tf.cast(_bytes(packed, channels), tf.uint8),
        tf.TensorSpec([target, target], tf.int32),
    )


@functools.cache
def _coloring(target: int, channels: int) -> Callable[..., tf.Tensor]:
    weights = LUMA if channels == 3 else (1.0,)

    def loop(packed: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
        brightness, contrast, saturation = factors[0], factors[1], factors[2]
        luma = sum(
            tf.cast(
                tf.bitwise.bitwise_and(tf.bitwise.right_shift(packed, 8 * channel), 255), tf.float32
            )
            * weight
            for channel, weight in enumerate(weights)
        )
        shift = (1 - contrast) * brightness * tf.reduce_mean(luma)
        scale = brightness * contrast
        # Of a gray image this is the image itself.
        gray = scale * (1 - saturation) * luma + shift
        colors = tf.cast(_bytes(packed, channels), tf.float32)
        changed = scale * saturation * colors + gray[..., None]
        return tf.cast(tf.clip_by_value(changed, 0.0, 255.0) + 0.5, tf.uint8)

    return _compiled(
        loop, tf.TensorSpec([target, target], tf.int32), tf.TensorSpec([3], tf.float32)
    )


def _compiled(loop: Callable[..., tf.Tensor], *inputs: tf.TensorSpec) -> Callable[..., tf.Tensor]:
    return tf.function(loop, input_signature=inputs, autograph=False, jit_compile=True)

"""RandAugment and AutoAugment: chains of single changes drawn from a list.

RandAugment: Cubuk et al. 2019, arXiv:1909.13719, with its 14 changes. AutoAugment: Cubuk et al.
2018, arXiv:1805.09501, table 9, the policy found on ImageNet. Strengths run as in torchvision; what
comes into view from outside is gray.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import ClassVar

from input_pipeline import warp
from input_pipeline.arguments import between
from input_pipeline.color import Photometric, clip, luma
from input_pipeline.quiet_tensorflow import tf

# (image, strength 0 to 1, sign +1 or -1) -> image
Change = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]

GRAY = 128.0
MOST_FACTOR = 0.9
MOST_SHEAR = 0.3
MOST_SHIFT = 150 / 331
MOST_TURN = math.radians(30)
MOST_BITS = 4


def _move(image: tf.Tensor, linear: tuple[object, ...], shift: tuple[object, object]) -> tf.Tensor:
    """Warps about the center by the output -> input matrix of rows `linear` and by `shift`."""
    side = image.shape[0]
    center = tf.fill([2], side / 2)
    matrix = tf.reshape(tf.stack([tf.cast(value, tf.float32) for value in linear]), [2, 2])
    offset = center - tf.linalg.matvec(matrix, center) + tf.cast(tf.stack(shift), tf.float32)
    square = tf.concat([tf.concat([matrix, offset[:, None]], 1), [[0.0, 0.0, 1.0]]], 0)
    return warp.project(image, square, side, fill=GRAY)


def _shear_x(image: tf.Tensor, strength: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    return _move(image, (1.0, sign * strength * MOST_SHEAR, 0.0, 1.0), (0.0, 0.0))


def _shear_y(image: tf.Tensor, strength: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    return _move(image, (1.0, 0.0, sign * strength * MOST_SHEAR, 1.0), (0.0, 0.0))


def _shift_x(image: tf.Tensor, strength: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    shift = sign * strength * MOST_SHIFT * image.shape[1]
    return _move(image, (1.0, 0.0, 0.0, 1.0), (shift, 0.0))


def _shift_y(image: tf.Tensor, strength: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    shift = sign * strength * MOST_SHIFT * image.shape[0]
    return _move(image, (1.0, 0.0, 0.0, 1.0), (0.0, shift))


def _rotate(image: tf.Tensor, strength: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    angle = sign * strength * MOST_TURN
    cos, sin = tf.cos(angle), tf.sin(angle)
    return _move(image, (cos, -sin, sin, cos), (0.0, 0.0))


def _blend(image: tf.Tensor, other: tf.Tensor, strength: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    """Away from another image or towards it."""
    factor = 1 + sign * strength * MOST_FACTOR
    return clip(other + factor * (image - other))


def _brightness(image: tf.Tensor, strength: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    return _blend(image, tf.zeros_like(image), strength, sign)


def _color(image: tf.Tensor, strength: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    return _blend(image, luma(image), strength, sign)


def _contrast(image: tf.Tensor, strength: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    return _blend(image, tf.reduce_mean(luma(image)), strength, sign)


def _sharpness(image: tf.Tensor, strength: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    # Pillow's smoothing: the middle weighs 5, its neighbors 1; the border stays as it is.
    weights = tf.constant([[1.0, 1.0, 1.0], [1.0, 5.0, 1.0], [1.0, 1.0, 1.0]]) / 13
    kernel = tf.tile(weights[..., None, None], [1, 1, image.shape[-1], 1])
    smooth = tf.nn.depthwise_conv2d(image[None], kernel, [1, 1, 1, 1], "VALID")[0]
    rows = [slice(0, 1), slice(1, -1), slice(-1, None)]
    middle = tf.concat([image[rows[1], :1], smooth, image[rows[1], -1:]], 1)
    smooth = tf.concat([image[rows[0]], middle, image[rows[2]]], 0)
    return _blend(image, tf.ensure_shape(smooth, image.shape), strength, sign)


def _posterize(image: tf.Tensor, strength: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    step = tf.pow(2.0, tf.round(strength * MOST_BITS))
    return tf.floor(tf.round(image) / step) * step


def _solarize(image: tf.Tensor, strength: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    return tf.where(image >= 255 * (1 - strength), 255 - image, image)


def _invert(image: tf.Tensor, strength: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    return 255 - image


def _autocontrast(image: tf.Tensor, strength: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    low = tf.reduce_min(image, [0, 1])
    high = tf.reduce_max(image, [0, 1])
    scale = tf.where(high > low, 255 / tf.maximum(high - low, 1e-3), 1.0)
    return clip((image - tf.where(high > low, low, 0.0)) * scale)


def _equalize(image: tf.Tensor, strength: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    levels = tf.cast(tf.round(image), tf.int32)

    def one(channel: tf.Tensor) -> tf.Tensor:
        counts = tf.math.bincount(tf.reshape(channel, [-1]), minlength=256, maxlength=256)
        step = (tf.size(channel) - tf.boolean_mask(counts, counts > 0)[-1]) // 255
        table = (step // 2 + tf.cumsum(counts, exclusive=True)) // tf.maximum(step, 1)
        table = tf.where(step > 0, tf.minimum(table, 255), tf.range(256))
        return tf.cast(tf.gather(table, channel), tf.float32)

    return tf.stack([one(levels[..., c]) for c in range(image.shape[-1])], -1)


def _identity(image: tf.Tensor, strength: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    return image


CHANGES: dict[str, Change] = {
    "identity": _identity,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
    "rotate": _rotate,
    "solarize": _solarize,
    "color": _color,
    "posterize": _posterize,
    "contrast": _contrast,
    "brightness": _brightness,
    "sharpness": _sharpness,
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "shift_x": _shift_x,
    "shift_y": _shift_y,
}


def change(
    image: tf.Tensor, changes: list[Change], which: tf.Tensor, strength: tf.Tensor, draw: tf.Tensor
) -> tf.Tensor:
    """Applies one of the changes, with a random sign from `draw`."""
    sign = tf.where(draw < 0.5, 1.0, -1.0)

    def branch(single: Change) -> Callable[[], tf.Tensor]:
        return lambda: tf.ensure_shape(single(image, strength, sign), image.shape)

    return tf.switch_case(which, [branch(single) for single in changes])


@dataclasses.dataclass(frozen=True)
class RandAugment(Photometric):
    """`layers` changes one after the other, each drawn from 14, all of one magnitude (0 to 30)."""

    layers: int = 2
    magnitude: float = 9.0

    def __post_init__(self) -> None:
        between("layers", self.layers, 1, 10)
        between("magnitude", self.magnitude, 0, 30)

    @property
    def draws(self) -> int:  # type: ignore[override]
        """Two for each layer."""
        return 2 * self.layers

    def apply(self, image: tf.Tensor, draws: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """See `Photometric`."""
        changes = list(CHANGES.values())
        strength = tf.constant(self.magnitude / 30)
        for layer in range(self.layers):
            which = tf.cast(draws[2 * layer] * len(changes), tf.int32)
            image = change(image, changes, which, strength, draws[2 * layer + 1])
        return image


# Pairs of (change, probability, magnitude 0 to 9).
POLICY = (
    (("posterize", 0.4, 8), ("rotate", 0.6, 9)),
    (("solarize", 0.6, 5), ("autocontrast", 0.6, 0)),
    (("equalize", 0.8, 0), ("equalize", 0.6, 0)),
    (("posterize", 0.6, 7), ("posterize", 0.6, 6)),
    (("equalize", 0.4, 0), ("solarize", 0.2, 4)),
    (("equalize", 0.4, 0), ("rotate", 0.8, 8)),
    (("solarize", 0.6, 3), ("equalize", 0.6, 0)),
    (("posterize", 0.8, 5), ("equalize", 1.0, 0)),
    (("rotate", 0.2, 3), ("solarize", 0.6, 8)),
    (("equalize", 0.6, 0), ("posterize", 0.4, 6)),
    (("rotate", 0.8, 8), ("color", 0.4, 0)),
    (("rotate", 0.4, 9), ("equalize", 0.6, 0)),
    (("equalize", 0.0, 0), ("equalize", 0.8, 0)),
    (("invert", 0.6, 0), ("equalize", 1.0, 0)),
    (("color", 0.6, 4), ("contrast", 1.0, 8)),
    (("rotate", 0.8, 8), ("color", 1.0, 2)),
    (("color", 0.8, 8), ("solarize", 0.8, 7)),
    (("sharpness", 0.4, 7), ("invert", 0.6, 0)),
    (("shear_x", 0.6, 5), ("equalize", 1.0, 0)),
    (("color", 0.4, 0), ("equalize", 0.6, 0)),
    (("equalize", 0.4, 0), ("solarize", 0.2, 4)),
    (("solarize", 0.6, 5), ("autocontrast", 0.6, 0)),
    (("invert", 0.6, 0), ("equalize", 1.0, 0)),
    (("color", 0.6, 4), ("contrast", 1.0, 8)),
    (("equalize", 0.8, 0), ("equalize", 0.6, 0)),
)


@dataclasses.dataclass(frozen=True)
class AutoAugment(Photometric):
    """One of the 25 pairs of changes of the ImageNet policy."""

    draws: ClassVar[int] = 5

    def apply(self, image: tf.Tensor, draws: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """See `Photometric`."""
        table = {**CHANGES, "invert": _invert}
        used = sorted({name for pair in POLICY for name, _, _ in pair})
        changes = [_identity, *(table[name] for name in used)]
        pair = tf.cast(draws[0] * len(POLICY), tf.int32)
        for turn in range(2):
            names = tf.constant([1 + used.index(rows[turn][0]) for rows in POLICY])
            probabilities = tf.constant([rows[turn][1] for rows in POLICY])
            strengths = tf.constant([rows[turn][2] / 9 for rows in POLICY])
            happens = draws[1 + 2 * turn] < probabilities[pair]
            which = tf.where(happens, names[pair], 0)
            image = change(image, changes, which, strengths[pair], draws[2 + 2 * turn])
        return image

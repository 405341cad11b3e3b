"""A pretrained network, ready to be asked, in one line."""

import dataclasses
import functools
import importlib.resources
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image

from efficientnet.errors import UserError
from efficientnet.model import EfficientNet
from efficientnet.variants import get_variant
from efficientnet.weights import Preprocessing, load_pretrained

IMAGENET_CLASSES = 1000
CROP = 0.875  # of the shorter side, as in the TPU reference implementation's evaluation


@dataclasses.dataclass(frozen=True)
class Network:
    """A network with its weights and the conventions that go with them.

    Attributes:
      module: the Flax module.
      variables: its collections `params` and `batch_stats`.
      preprocessing: mean and standard deviation per color on the scale from 0 to 255.
      class_names: one for each logit.
      resolution: pixels per side that the weights were trained at; any other works too.
    """

    module: EfficientNet
    variables: dict[str, Any]
    preprocessing: Preprocessing
    class_names: tuple[str, ...]
    resolution: int

    @property
    def channels(self) -> int:
        """Colors of the images: 3, or 1 for gray."""
        return len(self.preprocessing.mean)

    def preprocess(self, images_uint8: np.ndarray | jax.Array) -> jax.Array:
        """Normalizes images [N, H, W, C] with values from 0 to 255 to float32."""
        mean = jnp.asarray(self.preprocessing.mean, jnp.float32)
        std = jnp.asarray(self.preprocessing.std, jnp.float32)
        return (jnp.asarray(images_uint8, jnp.float32) - mean) / std

    def __call__(self, images_uint8: np.ndarray | jax.Array) -> jax.Array:
        """Returns the logits [N, classes] of images [N, H, W, C] with values from 0 to 255."""
        return self._apply(self.variables, self.preprocess(images_uint8))

    @functools.cached_property
    def _apply(self) -> Any:
        return jax.jit(self.module.apply)


def load(weights: str, variant: str | None = None) -> Network:
    """Loads a pretrained network.

    Args:
      weights: 'noisy_student', 'imagenet', 'autoaugment', 'randaugment', 'advprop', 'lite',
        'lite_wheel', or the path of a checkpoint in any known format.
      variant: such as 'b0'; a path doesn't need it.

    Raises:
      UserError: as `weights.load_pretrained`.
    """
    pretrained = load_pretrained(weights, variant)
    row = get_variant(pretrained.variant)
    module = EfficientNet(
        variant=row,
        num_classes=pretrained.num_classes,
        padding=pretrained.padding,
        bn_epsilon=pretrained.bn_epsilon,
    )
    variables = {"params": pretrained.params, "batch_stats": pretrained.batch_stats}
    return Network(
        module=module,
        variables=jax.tree.map(jnp.asarray, variables),
        preprocessing=pretrained.preprocessing,
        class_names=class_names(pretrained.num_classes),
        resolution=row.resolution,
    )


def class_names(num_classes: int) -> tuple[str, ...]:
    """ImageNet's names for a thousand classes, else numbers."""
    if num_classes != IMAGENET_CLASSES:
        return tuple(f"class {index}" for index in range(num_classes))
    names = importlib.resources.files("efficientnet.weights") / "imagenet_classes.txt"
    return tuple(names.read_text("utf-8").splitlines())


def read_photo(path: pathlib.Path, resolution: int, channels: int) -> np.ndarray:
    """Reads a photo and cuts out its middle, for evaluation.

    The crop is a square of 0.875 of the shorter side, resized bicubically.

    Returns:
      uint8 [resolution, resolution, channels].

    Raises:
      UserError: there is no such file, or it is no image.
    """
    try:
        with PIL.Image.open(path) as image:
            photo = image.convert("RGB" if channels == 3 else "L")
    except FileNotFoundError as error:
        raise UserError(f"there is no photo {path}") from error
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        raise UserError(f"{path} is no image that can be read ({error})") from error
    side = max(1, int(CROP * min(photo.size)))
    left, top = ((length - side + 1) // 2 for length in photo.size)
    box = (left, top, left + side, top + side)
    square = photo.resize((resolution, resolution), PIL.Image.Resampling.BICUBIC, box=box)
    return np.asarray(square).reshape(resolution, resolution, channels)

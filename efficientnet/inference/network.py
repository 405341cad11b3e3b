"""A network with its weights, ready to be called on images."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from efficientnet.config import RunConfig
from efficientnet.errors import UserError
from efficientnet.network.layers import normalize
from efficientnet.network.model import EfficientNet
from efficientnet.records import NetworkRecord
from efficientnet.weights import Preprocessing


@dataclasses.dataclass(frozen=True)
class Network:
    """A network with its weights and the preprocessing that they expect.

    Attributes:
      module: the Flax module.
      variables: its collections `params` and `batch_stats`.
      preprocessing: mean and standard deviation per channel, for values from 0 to 255.
      class_names: one for each logit.
      resolution: pixels per side that the weights were trained at; any other works too.
      preparation: how a photo becomes an image of that size, see `input_pipeline.parse`.
    """

    module: EfficientNet
    variables: dict[str, Any]
    preprocessing: Preprocessing
    class_names: tuple[str, ...]
    resolution: int
    preparation: str

    @property
    def channels(self) -> int:
        """Number of color channels of the images: 3, or 1 for gray."""
        return len(self.preprocessing.mean)

    def preprocess(self, images_uint8: np.ndarray | jax.Array) -> jax.Array:
        """Normalizes images [N, H, W, C] with values from 0 to 255, returns float32."""
        mean = jnp.asarray(self.preprocessing.mean, jnp.float32)
        std = jnp.asarray(self.preprocessing.std, jnp.float32)
        return normalize(jnp.asarray(images_uint8), mean, std)

    def __call__(self, images_uint8: np.ndarray | jax.Array | Sequence[np.ndarray]) -> jax.Array:
        """Returns the logits [N, classes] of images, uint8 [N, H, W, C] with values from 0 to 255.

        A list of N images [H, W, C] of one size is as good.

        Raises:
          UserError: the images are of another type or shape; it says what was expected.
        """
        return self._apply(self.variables, self.preprocess(self._checked(images_uint8)))

    def _checked(self, images: Any) -> np.ndarray | jax.Array:
        size = self.resolution
        expected = f"expected uint8 [batch, {size}, {size}, {self.channels}] from 0 to 255"
        if not isinstance(images, jax.Array):
            try:
                images = np.asarray(images)
            except (TypeError, ValueError, RuntimeError) as error:
                raise UserError(f"images are no array ({error}): {expected}") from error
        right_shape = images.ndim == 4 and images.shape[3] == self.channels and images.size > 0
        if images.dtype == np.uint8 and right_shape:
            return images
        advice = ""
        if images.dtype.kind == "f":
            advice = "; the network normalizes them itself"
        if images.dtype.kind == "U":
            advice = "; scripts/predict.py reads files"
        elif images.ndim == 3:
            advice += "; a single image is images[None]"
        elif images.ndim == 4 and images.shape[1] == self.channels != images.shape[3]:
            advice += "; PyTorch's order becomes it by images.transpose(0, 2, 3, 1)"
        raise UserError(f"images are {_described(images)}: {expected}{advice}")

    @functools.cached_property
    def _apply(self) -> Any:
        return jax.jit(self.module.apply)


def _described(images: np.ndarray | jax.Array) -> str:
    """Returns the type, the shape and the range of an array."""
    seen = f"{images.dtype} {list(images.shape)}"
    if images.dtype.kind not in "iuf" or not images.size or isinstance(images, jax.core.Tracer):
        return seen
    return f"{seen} from {images.min():.4g} to {images.max():.4g}"


@dataclasses.dataclass(frozen=True)
class TrainedNetwork(Network):
    """The network of a run of train.py.

    Attributes:
      folder: the run's workdir.
      config: the run's config.
      stage: name of the stage that the weights are from.
      record: the content of `network.json`, which also describes the data.
    """

    folder: epath.Path
    config: RunConfig
    stage: str
    record: NetworkRecord

"""A network with its weights, ready to be called on images."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from efficientnet.config import RunConfig
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

    def __call__(self, images_uint8: np.ndarray | jax.Array) -> jax.Array:
        """Returns the logits [N, classes] of images [N, H, W, C] with values from 0 to 255."""
        return self._apply(self.variables, self.preprocess(images_uint8))

    @functools.cached_property
    def _apply(self) -> Any:
        return jax.jit(self.module.apply)


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

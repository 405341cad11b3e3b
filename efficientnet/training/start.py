"""What a run starts from: a data set, pretrained weights, and the network made of them."""

import dataclasses
import logging
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

import input_pipeline
from efficientnet import weights
from efficientnet.config import RunConfig
from efficientnet.network.model import EfficientNet, init_variables
from efficientnet.network.variants import Variant, get_variant
from efficientnet.runtime.provenance import WeightsOrigin
from efficientnet.weights.conventions import MEAN_STD, Conventions

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Opened:
    """What is open before a run begins, so that it need not be opened again.

    Attributes:
      source: the data set, see `setup.open_source`; None if it is not open.
      pretrained: the weights, likewise.
    """

    source: input_pipeline.Source | None = None
    pretrained: weights.Pretrained | None = None


NOTHING = Opened()


class Start(NamedTuple):
    """The network before the first stage.

    Attributes:
      variables: its collections `params` and `batch_stats`.
      conventions: that go with them.
      origin: of the weights; None for random ones.
    """

    variables: dict[str, Any]
    conventions: Conventions
    origin: WeightsOrigin | None


def network(
    config: RunConfig,
    variant: Variant,
    num_classes: int,
    pretrained: weights.Pretrained | None = None,
) -> Start:
    """Returns the network before the first stage.

    Args:
      config: of the run.
      variant: that it names.
      num_classes: of the data.
      pretrained: the weights that it names, if they are open.
    """
    if not config.weights:
        log.info("weights: random")
        model = EfficientNet(variant, num_classes, head_batch_norm=config.head_batch_norm)
        variables = init_variables(model, jax.random.key(config.seed), config.channels)
        return Start(variables, conventions(variant), None)
    found = pretrained or weights.load_pretrained(config.weights, config.variant)
    origin = WeightsOrigin(origin=found.origin, digest=found.digest, license=found.license)
    log.info("weights: %s", origin)
    found = weights.adapt(found, num_classes, config.channels)
    variables = {"params": found.params, "batch_stats": found.batch_stats}
    if config.head_batch_norm:
        variables = _with_head_batch_norm(variables)
    return Start(variables, found.conventions, origin)


def model(
    config: RunConfig, num_classes: int, padding: str, bn_epsilon: float, mesh: Mesh
) -> EfficientNet:
    """Returns a run's network as it is evaluated, without a stage's regularization.

    Args:
      config: of the run.
      num_classes: of the data.
      padding: of the conventions.
      bn_epsilon: likewise.
      mesh: the devices.
    """
    return EfficientNet(
        get_variant(config.variant),
        num_classes,
        padding=padding,
        bn_epsilon=bn_epsilon,
        head_batch_norm=config.head_batch_norm,
        remat=config.remat,
        batch_norm_parts=mesh.size if config.batch_norm_per_device else 1,
        dtype=jnp.dtype(config.dtype),
    )


def conventions(variant: Variant) -> Conventions:
    """Returns those of random weights."""
    return Conventions(MEAN_STD, variant.padding, variant.bn_epsilon)


def _with_head_batch_norm(variables: dict[str, Any]) -> dict[str, Any]:
    """Adds the variables of a new `predictions_bn`."""
    size = variables["params"]["predictions"]["kernel"].shape[0]
    new = {
        "params": {"scale": np.ones(size, np.float32), "bias": np.zeros(size, np.float32)},
        "batch_stats": {"mean": np.zeros(size, np.float32), "var": np.ones(size, np.float32)},
    }
    return {name: {**variables[name], "predictions_bn": new[name]} for name in new}

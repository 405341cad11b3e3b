"""Exponential moving averages of the parameters and BatchNorm statistics that a stage changes."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from efficientnet.network import freeze_groups
from efficientnet.network.freeze_groups import Trainable, split_params

Averages = dict[str, Any]  # {'params': ..., 'batch_stats': ...}, without what is frozen


def changing(params: Mapping[str, Any], batch_stats: Mapping[str, Any], trains: Trainable) -> Any:
    """Returns the variables that a stage changes."""
    return {
        "params": split_params(params, trains)[0],
        "batch_stats": freeze_groups.split(batch_stats, trains.batch_norm_groups)[0],
    }


def start(params: Mapping[str, Any], batch_stats: Mapping[str, Any], trains: Trainable) -> Averages:
    """Returns the averages at a stage's first step, as copies, so that both can be donated."""
    return jax.tree.map(jnp.array, changing(params, batch_stats, trains))


def update(averages: Averages, values: Any, step: jax.Array, decay: float) -> Averages:
    """Moves the averages towards the values after `step` updates.

    The decay rises as (1 + step) / (10 + step) up to `decay`, as in the reference code
    (tf.train.ExponentialMovingAverage with num_updates), so that the first values soon fade.
    """
    keep = jnp.minimum(decay, (1 + step) / (10 + step))
    return jax.tree.map(lambda old, new: keep * old + (1 - keep) * new, averages, values)


def merged(
    averages: Averages, params: Mapping[str, Any], batch_stats: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns all variables, with the averages in place of the averaged values."""
    return {
        "params": {**params, **averages["params"]},
        "batch_stats": {**batch_stats, **averages["batch_stats"]},
    }

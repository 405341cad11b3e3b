"""Losses and metrics per example, so that batches can be padded."""

from collections.abc import Mapping
from typing import Any

import clu.metrics
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike

from efficientnet import metrics
from efficientnet.metrics import Metric, Outputs


def cross_entropy(
    logits: jax.Array,
    targets: jax.Array,
    label_smoothing: float = 0.0,
    class_weights: ArrayLike | None = None,
) -> jax.Array:
    """Returns the cross-entropy of each example, [N], in nats.

    Args:
      logits: [N, classes].
      targets: [N, classes], the probability of each class.
      label_smoothing: probability taken from the targets and spread evenly over all classes
        (Szegedy et al. 2016, section 7).
      class_weights: [classes], factors for the terms of the classes.
    """
    losses = optax.softmax_cross_entropy(logits, optax.smooth_labels(targets, label_smoothing))
    return losses if class_weights is None else losses * (targets @ jnp.asarray(class_weights))


def balancing_weights(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Returns class weights, float32 [classes], that give all classes the same share of the loss.

    The weight of a class is inversely proportional to its number of examples; the mean over
    examples is 1.
    """
    counts = np.bincount(labels, minlength=num_classes)
    present = np.count_nonzero(counts)
    return (len(labels) / (present * np.maximum(counts, 1))).astype(np.float32)


def batch_metrics(rows: Mapping[str, Metric]) -> type[clu.metrics.Collection]:
    """Returns the collection of metrics that are means over examples.

    They are computed from a step's `loss` [N], `logits` [N, classes], `label` [N] and `mask` [N].
    """
    return clu.metrics.Collection.create(**{name: _average(row) for name, row in rows.items()})


def _average(metric: Metric) -> type[clu.metrics.Metric]:
    assert metric.per_example is not None
    per_example = metric.per_example

    def values(logits: jax.Array, label: jax.Array, loss: jax.Array, **_: Any) -> jax.Array:
        true_score = jnp.take_along_axis(logits, label[:, None], axis=-1)[:, 0]
        return jnp.asarray(per_example(Outputs(logits, true_score, loss)), jnp.float32)

    return clu.metrics.Average.from_fun(values)


BatchMetrics = batch_metrics(metrics.per_example())

"""What is counted, as clu metrics; every sum is over examples, so batches may be padded."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from clu import metrics


def _in_top(k: int, logits: jax.Array, label: jax.Array, **_: Any) -> jax.Array:
    """1.0 where at most k classes, counting the true one, do not score below it, else 0.0.

    Ties and NaN count against the example: a network that says the same for all does not score.
    """
    true = jnp.take_along_axis(logits, label[:, None], axis=-1)
    return (jnp.sum(~(logits < true), axis=-1) <= k).astype(jnp.float32)


# What a step gives: `loss` [N], `logits` [N, classes], `label` [N] and `mask` [N]. What comes out:
# the mean loss, and top-k accuracies as fractions.
Metrics = metrics.Collection.create(
    loss=metrics.Average.from_output("loss"),
    top1=metrics.Average.from_fun(functools.partial(_in_top, 1)),
    top3=metrics.Average.from_fun(functools.partial(_in_top, 3)),
    top5=metrics.Average.from_fun(functools.partial(_in_top, 5)),
)


def cross_entropy(
    logits: jax.Array,
    targets: jax.Array,
    label_smoothing: float = 0.0,
    class_weights: jax.Array | None = None,
) -> jax.Array:
    """Returns the cross-entropy of each example, [N], in nats.

    Args:
      logits: [N, classes].
      targets: [N, classes], the probability of each class.
      label_smoothing: the mass that is taken from the targets and spread evenly over all classes
        (Szegedy et al. 2016, section 7).
      class_weights: [classes], what each class's share of an example's loss is multiplied by.
    """
    losses = optax.softmax_cross_entropy(logits, optax.smooth_labels(targets, label_smoothing))
    return losses if class_weights is None else losses * (targets @ class_weights)


def balancing_weights(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Returns float32 [classes] that give every class that occurs the same share of the loss.

    A class of which there are n examples weighs inversely to n; the mean over examples is 1.
    """
    counts = np.bincount(labels, minlength=num_classes)
    present = np.count_nonzero(counts)
    return (len(labels) / (present * np.maximum(counts, 1))).astype(np.float32)

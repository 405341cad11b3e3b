"""What a step minimizes and counts, against counts by hand."""

import jax.numpy as jnp
import numpy as np
import pytest
from logits import NOT_FINITE

from efficientnet.training import losses


def test_padding_is_not_counted() -> None:
    logits = jnp.array([[3.0, 1.0, 0.0], [0.0, 1.0, 2.0], [5.0, 0.0, 0.0]])
    label = jnp.array([0, 1, 1])
    counted = losses.BatchMetrics.single_from_model_output(
        loss=jnp.array([1.0, 3.0, 100.0]),
        logits=logits,
        label=label,
        mask=jnp.array([True, True, False]),
    )
    found = counted.compute()
    assert (found["loss"], found["top1"], found["top3"]) == (2.0, 0.5, 1.0)


def test_a_network_that_says_the_same_for_all_scores_nothing() -> None:
    counted = losses.BatchMetrics.single_from_model_output(
        loss=jnp.zeros(2),
        logits=jnp.zeros((2, 10)),
        label=jnp.array([0, 1]),
        mask=jnp.ones(2, bool),
    )
    assert counted.compute()["top5"] == 0.0


@pytest.mark.parametrize("logits", NOT_FINITE)
def test_logits_that_are_not_finite_score_nothing(logits: list[float]) -> None:
    counted = losses.BatchMetrics.single_from_model_output(
        loss=jnp.zeros(2),
        logits=jnp.array([logits, logits]),
        label=jnp.array([0, 0]),
        mask=jnp.ones(2, bool),
    )
    assert counted.compute()["top5"] == 0.0


def test_smoothing_spreads_mass_over_all_classes() -> None:
    logits = jnp.log(jnp.array([[0.7, 0.2, 0.1]]))
    found = losses.cross_entropy(logits, jnp.array([[1.0, 0.0, 0.0]]), label_smoothing=0.3)
    expected = -(0.8 * np.log(0.7) + 0.1 * np.log(0.2) + 0.1 * np.log(0.1))
    np.testing.assert_allclose(found, [expected], rtol=1e-6)


def test_weights_balance_the_classes() -> None:
    labels = np.array([0, 0, 0, 2])
    weights = losses.balancing_weights(labels, 4)
    np.testing.assert_allclose(weights[[0, 2]], [4 / 6, 2.0])
    assert weights[labels].mean() == 1.0
    assert np.isfinite(weights).all()

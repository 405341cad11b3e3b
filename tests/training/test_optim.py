"""Optimizers against updates computed by hand; rates by depth; what decays."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from efficientnet.config import StageConfig
from efficientnet.errors import UserError
from efficientnet.network.variants import VARIANTS
from efficientnet.training import optim

RATE = 0.1
KERNEL, BIAS = 2.0, -1.0
PARAMS = {
    "predictions": {
        "kernel": jnp.array([KERNEL]),
        "bias": jnp.array([BIAS]),
    }
}
GRADS = (3.0, -0.5, 1.0)  # of every leaf, step by step


def run(stage: StageConfig, params: Any = PARAMS, grads: tuple[float, ...] = GRADS) -> Any:
    tx = optim.make_optimizer(stage, lambda step: stage.learning_rate, VARIANTS["b0"])
    state = tx.init(params)
    for step, grad in enumerate(grads):
        tree = jax.tree.map(lambda p, g=grad: jnp.full_like(p, g), params)
        updates, state = tx.update(tree, state, params, step=step)
        params = jax.tree.map(jnp.add, params, updates)
    return params


def by_hand(name: str, w: float, decay: float, epsilon: float | None = None) -> float:
    """The same updates of one number, written as the papers and TensorFlow write them."""
    m, v, ms, mom = 0.0, 0.0, 1.0, 0.0
    for t, grad in enumerate(GRADS, start=1):
        if name in ("adam", "sgd", "rmsprop"):
            grad += decay * w
        if name == "sgd":
            m = 0.9 * m + grad
            w -= RATE * (grad + 0.9 * m)
        elif name == "rmsprop":
            ms = 0.9 * ms + 0.1 * grad**2
            mom = 0.9 * mom + RATE * grad / np.sqrt(ms + (epsilon or 1e-3))
            w -= mom
        elif name == "lion":
            sign = np.sign(0.9 * m + 0.1 * grad)
            m = 0.99 * m + 0.01 * grad
            w -= RATE * (sign + decay * w)
        else:
            m, v = 0.9 * m + 0.1 * grad, 0.999 * v + 0.001 * grad**2
            epsilon = epsilon or (1e-6 if name == "lamb" else 1e-8)
            update = m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + epsilon)
            if name in ("adamw", "lamb"):
                update += decay * w
            if name == "lamb":
                update *= abs(w) / abs(update)
            w -= RATE * update
    return w


@pytest.mark.parametrize("decay", [0.0, 0.2])
@pytest.mark.parametrize("name", list(optim.OPTIMIZERS))
def test_updates_are_those_computed_by_hand(name: str, decay: float) -> None:
    stage = StageConfig(
        "s", "all", 1, optimizer=name, learning_rate=RATE, weight_decay=decay, momentum=0.9
    )
    after = run(stage)["predictions"]
    np.testing.assert_allclose(after["kernel"], by_hand(name, KERNEL, decay), rtol=1e-5)
    # Biases never decay.
    np.testing.assert_allclose(after["bias"], by_hand(name, BIAS, 0.0), rtol=1e-5)


def test_batch_norm_never_decays() -> None:
    params = {"top_bn": {"scale": jnp.ones(3), "bias": jnp.ones(3)}}
    stage = StageConfig("s", "all", 1, optimizer="sgd", weight_decay=0.5)
    after = run(stage, params, grads=(0.0, 0.0))
    np.testing.assert_array_equal(after["top_bn"]["scale"], params["top_bn"]["scale"])
    np.testing.assert_array_equal(after["top_bn"]["bias"], params["top_bn"]["bias"])


def test_clipping_scales_the_whole_gradient_down() -> None:
    stage = StageConfig(
        "s", "all", 1, optimizer="sgd", learning_rate=1.0, momentum=0.0, clip_norm=5.0
    )
    params = {"predictions": {"kernel": jnp.zeros(3), "bias": jnp.zeros(1)}}
    big = run(stage, params, grads=(10.0,))  # norm 20
    np.testing.assert_allclose(big["predictions"]["kernel"], -2.5, rtol=1e-6)
    small = run(stage, params, grads=(1.0,))  # norm 2
    np.testing.assert_allclose(small["predictions"]["kernel"], -1.0)


def test_rates_fall_with_depth_and_the_head_has_its_own() -> None:
    stage = StageConfig("s", "all", 1, learning_rate=0.1, layer_decay=0.5, head_learning_rate=0.3)
    factors = optim.rate_multipliers(stage, VARIANTS["b0"])
    assert factors["predictions"] == pytest.approx(3.0)
    assert factors["top"] == 0.5
    assert factors["block7a"] == 0.25
    assert factors["block6d"] == 0.125
    assert factors["stem"] == 0.5**18  # 16 blocks, top and classifier follow it


def test_each_layer_moves_at_its_own_rate() -> None:
    stage = StageConfig(
        "s", "all", 1, optimizer="sgd", learning_rate=1.0, momentum=0.0, layer_decay=0.5
    )
    layers = ("predictions", "top_conv", "block7a_se_reduce", "block6d_expand_conv")
    params = {layer: {"kernel": jnp.zeros(2)} for layer in layers}
    after = run(stage, params, grads=(1.0,))
    moved = [float(after[layer]["kernel"][0]) for layer in layers]
    assert moved == [-1.0, -0.5, -0.25, -0.125]


def test_the_host_can_lower_the_rate() -> None:
    stage = StageConfig("s", "all", 1, optimizer="sgd", learning_rate=1.0, momentum=0.0)
    tx = optim.make_optimizer(stage, lambda step: 1.0, VARIANTS["b0"])
    updates, _ = tx.update(PARAMS, tx.init(PARAMS), PARAMS, step=0, lr_scale=0.1)
    np.testing.assert_allclose(updates["predictions"]["kernel"], [-0.2], rtol=1e-6)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"optimizer": "adagrad"}, "optimizer 'adagrad': expected one of adamw"),
        ({"layer_decay": 0.0}, "layer_decay 0.0"),
        ({"clip_norm": -1.0}, "clip_norm -1.0"),
    ],
)
def test_bad_values_are_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        StageConfig("s", "all", 1, **fields)


@pytest.mark.parametrize("name", ["adamw", "adam", "lamb", "rmsprop"])
def test_epsilon_can_be_another(name: Any) -> None:
    stage = StageConfig("s", "all", 1, optimizer=name, learning_rate=RATE, epsilon=0.3)
    after = float(run(stage)["predictions"]["kernel"][0])
    assert after == pytest.approx(by_hand(name, KERNEL, 0.0, epsilon=0.3), rel=1e-5)
    if name != "lamb":  # whose step has the length of the weights
        assert after != pytest.approx(by_hand(name, KERNEL, 0.0), rel=1e-2)


def test_sgd_without_momentum_is_plain() -> None:
    stage = StageConfig("s", "all", 1, optimizer="sgd", learning_rate=RATE, momentum=0.0)
    after = run(stage)["predictions"]["kernel"]
    np.testing.assert_allclose(after, KERNEL - RATE * sum(GRADS), rtol=1e-6)

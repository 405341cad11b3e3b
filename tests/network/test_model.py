"""The network: shapes, dtypes, and what training mode does and to which freeze groups."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from efficientnet.network.freeze_groups import GROUPS, group_of
from efficientnet.network.model import EfficientNet, init_variables
from efficientnet.network.variants import Variant, get_variant

TINY = Variant(width=0.25, depth=0.3, resolution=32, dropout=0.5)
DEEPER = Variant(width=0.25, depth=1.0, resolution=32, dropout=0.5)


@functools.cache
def variables_of(model: EfficientNet, channels: int = 3) -> dict:
    return init_variables(model, jax.random.key(0), channels)


def photos(channels: int = 3) -> jax.Array:
    return jax.random.normal(jax.random.key(1), (2, 33, 40, channels))


@pytest.mark.parametrize(("channels", "padding"), [(1, "same"), (3, "symmetric")])
def test_logits_and_features_have_their_shapes(channels: int, padding: str) -> None:
    model = EfficientNet(TINY, num_classes=5, padding=padding)
    variables = variables_of(model, channels)
    assert model.apply(variables, photos(channels)).shape == (2, 5)

    features = EfficientNet(TINY, padding=padding, features_only=True)
    without = {**variables, "params": dict(variables["params"])}
    predictions = without["params"].pop("predictions")
    pooled = features.apply(without, photos(channels))
    assert pooled.shape == (2, TINY.top_filters)
    logits = pooled @ predictions["kernel"] + predictions["bias"]
    np.testing.assert_allclose(logits, model.apply(variables, photos(channels)), atol=1e-5)


def test_bfloat16_computes_in_it_and_keeps_float32_variables() -> None:
    model = EfficientNet(TINY, num_classes=5, dtype=jnp.bfloat16)
    variables = variables_of(model)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    logits, sown = model.apply(
        variables, photos(), batch_norm_groups=GROUPS, mutable=["intermediates", "batch_stats"]
    )
    assert logits.dtype == jnp.float32
    assert sown["intermediates"]["block3a"][0].dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(sown["batch_stats"])} == {jnp.dtype("float32")}
    exact = EfficientNet(TINY, num_classes=5).apply(variables, photos())
    np.testing.assert_allclose(model.apply(variables, photos()), exact, atol=0.1)


def test_only_the_named_groups_update_their_statistics() -> None:
    model = EfficientNet(TINY, num_classes=5)
    variables = variables_of(model)
    _, updates = model.apply(
        variables, photos(), batch_norm_groups=("block6", "block7"), mutable=["batch_stats"]
    )
    for layer, before in variables["batch_stats"].items():
        same = np.array_equal(before["mean"], updates["batch_stats"][layer]["mean"])
        assert same == (group_of(layer) not in ("block6", "block7")), layer


def test_stochastic_depth_and_dropout_stay_in_the_training_groups() -> None:
    model = EfficientNet(DEEPER, num_classes=5, drop_connect=0.9)
    variables = variables_of(model)

    def run(groups: tuple[str, ...], seed: int) -> dict[str, np.ndarray]:
        _, sown = model.apply(
            variables,
            photos(),
            training_groups=groups,
            rngs={"dropout": jax.random.key(seed)},
            mutable=["intermediates"],
        )
        return {name: np.asarray(value[0]) for name, value in sown["intermediates"].items()}

    still, one, other = run((), 0), run(("block6", "block7"), 1), run(("block6", "block7"), 2)
    np.testing.assert_array_equal(still["block5c"], one["block5c"])
    assert not np.array_equal(one["block6d"], other["block6d"])


def test_padding_and_epsilon_change_the_result() -> None:
    model = EfficientNet(TINY, num_classes=5)
    variables = variables_of(model)
    same = model.apply(variables, photos())
    symmetric = EfficientNet(TINY, num_classes=5, padding="symmetric").apply(variables, photos())
    epsilon = EfficientNet(TINY, num_classes=5, bn_epsilon=0.1).apply(variables, photos())
    for other in (symmetric, epsilon):
        assert np.abs(same - other).max() > 0.1 * np.abs(same).max()


def test_lite_has_neither_squeeze_excite_nor_swish() -> None:
    shapes = jax.eval_shape(
        lambda: init_variables(EfficientNet(get_variant("lite0")), jax.random.key(0))
    )
    assert not [layer for layer in shapes["params"] if "_se_" in layer]
    assert get_variant("lite0").activation == "relu6"


def test_rematerialization_changes_neither_variables_nor_values_nor_gradients() -> None:
    plain, again = (EfficientNet(TINY, num_classes=5, remat=remat) for remat in (False, True))
    variables = variables_of(plain)

    def loss(params: dict, model: EfficientNet) -> tuple[jax.Array, dict]:
        logits, updates = model.apply(
            {**variables, "params": params},
            photos(),
            training_groups=GROUPS,
            batch_norm_groups=GROUPS,
            rngs={"dropout": jax.random.key(2)},
            mutable=["batch_stats"],
        )
        return jnp.sum(jnp.square(logits)), updates

    results = []
    for model in (plain, again):
        gradient = jax.value_and_grad(functools.partial(loss, model=model), has_aux=True)
        traced = jax.jit(gradient).trace(variables["params"])
        assert ("remat" in str(traced.jaxpr)) == model.remat
        results.append(traced.lower().compile()(variables["params"]))
    assert_near = functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-3)
    jax.tree.map(assert_near, *results)


def test_batch_norm_parts_see_only_themselves() -> None:
    model = EfficientNet(TINY, num_classes=5, batch_norm_parts=2)
    variables = variables_of(model)
    images = jax.random.normal(jax.random.key(1), (6, 32, 32, 3))

    @functools.partial(jax.jit, static_argnums=0)
    def apply(model: EfficientNet, images: jax.Array) -> tuple[jax.Array, dict]:
        return model.apply(variables, images, batch_norm_groups=GROUPS, mutable=["batch_stats"])

    logits, updates = apply(model, images)
    whole = EfficientNet(TINY, num_classes=5)
    halves = [apply(whole, half) for half in (images[:3], images[3:])]
    np.testing.assert_allclose(logits, jnp.concatenate([h[0] for h in halves]), atol=5e-3)
    stem = [h[1]["batch_stats"]["stem_bn"] for h in halves]
    for name, value in updates["batch_stats"]["stem_bn"].items():
        np.testing.assert_allclose(value, (stem[0][name] + stem[1][name]) / 2, rtol=1e-5)
    together, _ = apply(whole, images)
    assert float(jnp.max(jnp.abs(together - logits))) > 0.05

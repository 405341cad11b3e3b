import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from efficientnet import layers


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(1, 2, size=(8, 6, 5, 4)).astype(np.float32)


def assert_trees_close(mine, wanted, tolerance=1e-5):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=tolerance, rtol=1e-4), mine, wanted
    )


@pytest.mark.parametrize("features", [3, 9])
@pytest.mark.parametrize(("kernel_size", "strides"), [(1, 1), (3, 2)])
def test_conv_and_its_gradients_equal_flax(x, features, kernel_size, strides):
    ours = layers.Conv(features, kernel_size, strides, use_bias=True)
    theirs = nn.Conv(features, (kernel_size, kernel_size), strides)
    variables = ours.init(jax.random.key(0), x)
    shapes = jax.tree.map(jnp.shape, theirs.init(jax.random.key(0), x))
    assert jax.tree.map(jnp.shape, variables) == shapes

    def gradients(module):
        return jax.grad(lambda v, x: jnp.sum(module.apply(v, x) ** 2), argnums=(0, 1))(variables, x)

    np.testing.assert_allclose(ours.apply(variables, x), theirs.apply(variables, x), atol=1e-5)
    assert_trees_close(gradients(ours), gradients(theirs), 1e-3)


@pytest.mark.parametrize("activation", ["linear", "swish", "relu6"])
@pytest.mark.parametrize("running", [True, False])
def test_batch_norm_equals_flax(x, activation, running):
    ours = layers.BatchNorm(use_running_average=running, activation=activation)
    theirs = nn.BatchNorm(use_running_average=running, epsilon=1e-3)
    rng = np.random.default_rng(1)
    variables = jax.tree.map(
        lambda v: rng.uniform(0.5, 2, v.shape).astype(np.float32), ours.init(jax.random.key(0), x)
    )
    target = rng.normal(size=x.shape).astype(np.float32)
    act = {"linear": lambda y: y, "swish": jax.nn.swish, "relu6": jax.nn.relu6}[activation]

    def loss(params, x, module, act):
        v = {"params": params, "batch_stats": variables["batch_stats"]}
        y, updates = module.apply(v, x, mutable=["batch_stats"])
        return jnp.mean(jnp.abs(act(y) - target)), updates

    run = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
    mine = run(variables["params"], x, ours, lambda y: y)
    wanted = run(variables["params"], x, theirs, act)
    assert_trees_close(mine, wanted)


def test_batch_norm_computes_in_bfloat16_and_keeps_float32_variables(x):
    norm = layers.BatchNorm(use_running_average=False, activation="swish", dtype=jnp.bfloat16)
    variables = norm.init(jax.random.key(0), x)
    y, updates = norm.apply(variables, x, mutable=["batch_stats"])
    assert y.dtype == jnp.bfloat16
    leaves = jax.tree.leaves((variables, updates))
    assert {leaf.dtype for leaf in leaves} == {jnp.dtype(jnp.float32)}
    grad = jax.grad(
        lambda p: norm.apply({**variables, "params": p}, x, mutable=["batch_stats"])[0].mean()
    )(variables["params"])
    assert grad["scale"].dtype == jnp.float32


class Gated(nn.Module):
    @nn.compact
    def __call__(self, x):
        return layers.squeeze_excite(x, 2, layers.swish, jnp.float32, prefix="block2a")


def test_squeeze_excite_scales_channels_and_names_its_convolutions(x):
    variables = Gated().init(jax.random.key(0), x)
    shapes = jax.tree.map(jnp.shape, variables["params"])
    assert shapes == {
        "block2a_se_reduce": {"kernel": (1, 1, 4, 2), "bias": (2,)},
        "block2a_se_expand": {"kernel": (1, 1, 2, 4), "bias": (4,)},
    }
    gate = Gated().apply(variables, x) / x
    np.testing.assert_allclose(gate, np.broadcast_to(gate[:, :1, :1], gate.shape), rtol=1e-5)
    assert np.all((gate > 0) & (gate < 1))


def test_stochastic_depth_drops_whole_examples_and_keeps_the_mean():
    y = layers.stochastic_depth(jnp.ones((4000, 3, 2)), 0.8, jax.random.key(0))
    kept = np.asarray(y[:, 0, 0] > 0)
    np.testing.assert_allclose(y[kept], 1.25)
    np.testing.assert_array_equal(y[~kept], 0)
    assert abs(kept.mean() - 0.8) < 0.03


def test_initializers_have_the_spread_of_the_reference():
    key = jax.random.key(0)
    assert np.std(layers.conv_kernel_init(key, (3, 3, 64, 128))) == pytest.approx(
        (2 / (9 * 128)) ** 0.5, rel=0.02
    )
    assert np.std(layers.depthwise_kernel_init(key, (5, 5, 1, 4096))) == pytest.approx(
        (2 / 25) ** 0.5, rel=0.02
    )
    dense = layers.dense_kernel_init(key, (64, 400))
    assert np.abs(dense).max() == pytest.approx(0.05, rel=0.01)


def test_a_sharded_batch_is_normalized_as_one_and_never_gathered(x):
    mesh = Mesh(np.array(jax.devices()), ("data",))
    norm = layers.BatchNorm(use_running_average=False, activation="swish")
    conv = layers.Conv(6, 1)
    variables = (
        conv.init(jax.random.key(0), x),
        norm.init(jax.random.key(0), np.zeros((1, 1, 1, 6))),
    )

    def loss(variables, x):
        y, updates = norm.apply(variables[1], conv.apply(variables[0], x), mutable=["batch_stats"])
        return jnp.mean(y**2), updates

    run = jax.value_and_grad(loss, has_aux=True)
    batch, whole = NamedSharding(mesh, PartitionSpec("data")), NamedSharding(mesh, PartitionSpec())
    sharded = jax.jit(run, in_shardings=(whole, batch), out_shardings=whole)
    text = sharded.lower(variables, x).compile().as_text()
    assert " all-gather(" not in text
    assert " all-to-all(" not in text
    assert_trees_close(sharded(variables, x), run(variables, x))

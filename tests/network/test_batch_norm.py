import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from trees import assert_trees_close

from efficientnet.network.layers import Conv
from efficientnet.network.ops.batch_norm import BatchNorm


@pytest.mark.parametrize("activation", ["linear", "swish", "relu6"])
@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize("platform", ["cpu", "cuda"])
def test_batch_norm_equals_flax(x, activation, running, platform, monkeypatch):
    ours = BatchNorm(use_running_average=running, activation=activation)
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
    wanted = run(variables["params"], x, theirs, act)
    monkeypatch.setattr(
        lax,
        "platform_dependent",
        lambda *args, **forms: forms.get(platform, forms["default"])(*args),
    )
    assert_trees_close(run(variables["params"], x, ours, lambda y: y), wanted)


def test_a_gpu_computes_the_activations_gradient_twice_instead_of_storing_it(x):
    norm = BatchNorm(use_running_average=False, activation="swish")
    variables = norm.init(jax.random.key(0), x)

    def loss(x):
        return jnp.sum(norm.apply(variables, x, mutable=["batch_stats"])[0] ** 2)

    traced = jax.jit(jax.grad(loss)).trace(x)
    cpu, gpu = (
        traced.lower(lowering_platforms=(platform,)).as_text().count("stablehlo.exponential")
        for platform in ("cpu", "cuda")
    )
    assert gpu == cpu + 1


def test_batch_norm_computes_in_bfloat16_and_keeps_float32_variables(x):
    norm = BatchNorm(use_running_average=False, activation="swish", dtype=jnp.bfloat16)
    variables = norm.init(jax.random.key(0), x)
    y, updates = norm.apply(variables, x, mutable=["batch_stats"])
    assert y.dtype == jnp.bfloat16
    leaves = jax.tree.leaves((variables, updates))
    assert {leaf.dtype for leaf in leaves} == {jnp.dtype(jnp.float32)}
    grad = jax.grad(
        lambda p: norm.apply({**variables, "params": p}, x, mutable=["batch_stats"])[0].mean()
    )(variables["params"])
    assert grad["scale"].dtype == jnp.float32


@pytest.mark.parametrize("activation", ["linear", "swish"])
@pytest.mark.parametrize("parts", [1, 4])
def test_a_convolution_and_its_batch_norm_as_one_equal_the_two(x, activation, parts):
    rng = np.random.default_rng(1)
    kernel = rng.normal(size=(4, 12)).astype(np.float32)
    kernel[:, 0] = 0  # a dead channel
    norm = BatchNorm(use_running_average=False, activation=activation, parts=parts)
    variables = jax.tree.map(
        lambda v: rng.uniform(0.5, 2, v.shape).astype(np.float32),
        norm.init(jax.random.key(0), x, kernel),
    )
    target = rng.normal(size=(*x.shape[:-1], 12)).astype(np.float32)

    def loss(params, x, kernel, together):
        inputs = (x, kernel) if together else (x @ kernel,)
        y, updates = norm.apply({**variables, "params": params}, *inputs, mutable=["batch_stats"])
        return jnp.mean(y * target), (y, updates)

    run = jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)
    mine = run(variables["params"], x, kernel, True)
    assert_trees_close(mine, run(variables["params"], x, kernel, False))


def test_statistics_from_few_channels_are_those_of_the_many():
    rng = np.random.default_rng(0)
    # Means far from zero, and channels that nearly cancel: what the small matrices must bear.
    x = rng.normal(5, [1, 2, 0.1], size=(4, 16, 16, 3)).astype(np.float32)
    kernel = np.array([[1, 1, 0], [0.5, -1, 0], [0, 0.01, 1]], np.float32)
    norm = BatchNorm(use_running_average=False, momentum=0.0)
    variables = norm.init(jax.random.key(0), x, kernel)
    _, updates = norm.apply(variables, x, kernel, mutable=["batch_stats"])
    y = (x.astype(np.float64) @ kernel).reshape(-1, 3)
    statistics = updates["batch_stats"]
    np.testing.assert_allclose(statistics["mean"], y.mean(0), rtol=1e-5)
    np.testing.assert_allclose(statistics["var"], y.var(0), rtol=1e-3)


@pytest.mark.parametrize("together", [True, False])
def test_a_sharded_batch_is_normalized_as_one_and_never_gathered(x, together):
    mesh = Mesh(np.array(jax.devices()), ("data",))
    norm = BatchNorm(use_running_average=False, activation="swish")
    conv = Conv(6, 1)
    variables = (
        conv.init(jax.random.key(0), x),
        norm.init(jax.random.key(0), np.zeros((1, 1, 1, 6))),
    )

    def loss(variables, x):
        inputs = (conv.apply(variables[0], x),)
        if together:
            inputs = (x, variables[0]["params"]["kernel"][0, 0])
        y, updates = norm.apply(variables[1], *inputs, mutable=["batch_stats"])
        return jnp.mean(y**2), updates

    run = jax.value_and_grad(loss, has_aux=True)
    batch, whole = NamedSharding(mesh, PartitionSpec("data")), NamedSharding(mesh, PartitionSpec())
    sharded = jax.jit(run, in_shardings=(whole, batch), out_shardings=whole)
    text = sharded.lower(variables, x).compile().as_text()
    assert " all-gather(" not in text
    assert " all-to-all(" not in text
    assert_trees_close(sharded(variables, x), run(variables, x))

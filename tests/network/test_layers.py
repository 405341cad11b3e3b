import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from trees import assert_trees_close

from efficientnet.network import layers


@pytest.mark.parametrize("features", [3, 9])
@pytest.mark.parametrize(("kernel_size", "strides"), [(1, 1), (3, 2)])
def test_conv_and_its_gradients_equal_flax(x, features, kernel_size, strides):
    ours = layers.Conv(features, kernel_size, strides)
    theirs = nn.Conv(features, (kernel_size, kernel_size), strides, use_bias=False)
    variables = ours.init(jax.random.key(0), x)
    shapes = jax.tree.map(jnp.shape, theirs.init(jax.random.key(0), x))
    assert jax.tree.map(jnp.shape, variables) == shapes

    def gradients(module):
        return jax.grad(lambda v, x: jnp.sum(module.apply(v, x) ** 2), argnums=(0, 1))(variables, x)

    np.testing.assert_allclose(ours.apply(variables, x), theirs.apply(variables, x), atol=1e-5)
    assert_trees_close(gradients(ours), gradients(theirs), 1e-3)


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_gradients_of_kernels_are_float32_whatever_the_dtype(x, kernel_size):
    module = layers.Conv(6, kernel_size, dtype=jnp.bfloat16)
    variables = module.init(jax.random.key(0), x)
    grad = jax.grad(lambda v: jnp.sum(module.apply(v, x).astype(jnp.float32) ** 2))(variables)
    kernel = np.asarray(grad["params"]["kernel"])
    assert np.any(kernel != kernel.astype(jnp.bfloat16).astype(np.float32))


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

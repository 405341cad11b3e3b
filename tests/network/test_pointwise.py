import jax
import jax.numpy as jnp
import numpy as np
import pytest
from trees import assert_trees_close

from efficientnet.network.ops.pointwise import gated_pointwise_conv


@pytest.mark.parametrize("size", [1, 4])  # fewer pixels than channels, and more
def test_a_gate_scales_the_channels_of_each_example_before_the_convolution(size):
    rng = np.random.default_rng(0)
    x, gate, kernel, target = (
        rng.normal(size=shape).astype(np.float32)
        for shape in ((3, size, size, 5), (3, 1, 1, 5), (5, 2), (3, size, size, 2))
    )

    def plainly(x, gate, kernel):
        return jnp.einsum("nhwc,cf->nhwf", x * gate, kernel)

    def run(convolve):
        y, vjp = jax.vjp(convolve, x, gate, kernel)
        return y, vjp(target)

    assert_trees_close(run(gated_pointwise_conv), run(plainly), atol=1e-5, rtol=1e-4)

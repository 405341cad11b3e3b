import jax
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from efficientnet.depthwise import depthwise_conv, explicit_padding, native

quick = settings(max_examples=25, deadline=None, derandomize=True)


def reference(x, kernel, stride, padding):
    return native(
        x, kernel, stride, explicit_padding(x.shape[1:3], kernel.shape[:2], stride, padding)
    )


@quick
@given(
    height=st.integers(1, 13),
    width=st.integers(1, 13),
    k=st.sampled_from([1, 3, 5, 7]),
    stride=st.sampled_from([1, 2, 3]),
    padding=st.sampled_from(["same", "symmetric"]),
    seed=st.integers(0, 9),
)
def test_output_and_gradients_equal_the_native_convolution(height, width, k, stride, padding, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, height, width, 3)).astype(np.float32)
    kernel = rng.normal(size=(k, k, 1, 3)).astype(np.float32)
    wanted, wanted_vjp = jax.vjp(lambda x, w: reference(x, w, stride, padding), x, kernel)
    ours, ours_vjp = jax.vjp(lambda x, w: depthwise_conv(x, w, stride, padding), x, kernel)
    np.testing.assert_allclose(ours, wanted, atol=1e-5, rtol=1e-5)
    grad = rng.normal(size=wanted.shape).astype(np.float32)
    for mine, theirs in zip(ours_vjp(grad), wanted_vjp(grad), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-4, rtol=1e-5)

"""The GPU's own kernels, interpreted on the CPU, and lowered for a GPU that is not there."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from efficientnet.network.ops import depthwise_kernels
from efficientnet.network.ops.depthwise import depthwise_conv, explicit_padding, native


def mesh(devices: int = 1) -> Mesh:
    return Mesh(np.asarray(jax.devices()[:devices]), ("data",))


@pytest.mark.parametrize(
    ("size", "channels", "k", "stride", "padding", "dtype"),
    [
        # More columns than a program has, and channels that fill no program.
        ((5, 11), 33, 3, 1, "same", jnp.float32),
        ((4, 9), 3, 5, 1, "symmetric", jnp.bfloat16),
        ((6, 19), 3, 3, 2, "same", jnp.bfloat16),
        ((6, 5), 3, 5, 2, "symmetric", jnp.float32),
        ((1, 1), 3, 3, 2, "same", jnp.float32),
    ],
)
def test_output_and_gradients_equal_the_native_convolution(
    size, channels, k, stride, padding, dtype, monkeypatch
):
    monkeypatch.setattr(depthwise_kernels, "SUMMED_ROWS", 2 * size[0])  # programs of two images
    if k == 5:
        monkeypatch.setattr(depthwise_kernels, "ROWS", 1)  # compiles in half the time
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(3, *size, channels)), dtype)
    kernel = jnp.asarray(rng.normal(size=(k, k, 1, channels)), jnp.float32)
    pads = explicit_padding(size, (k, k), stride, padding)

    @jax.jit
    def both(x, kernel):
        def exact(x, kernel):
            return native(x, kernel, stride, pads)

        def mine(x, kernel):
            return depthwise_kernels.depthwise_conv(x, kernel, stride, pads, mesh(), True)

        out, vjp = jax.vjp(exact, x.astype(jnp.float32), kernel.astype(dtype).astype(jnp.float32))
        grad = jnp.cos(out).astype(dtype)
        my_out, my_vjp = jax.vjp(mine, x, kernel)
        return (my_out, *my_vjp(grad)), (out, *vjp(grad.astype(jnp.float32)))

    found, wanted = both(x, kernel)
    assert [array.dtype for array in found] == [dtype, dtype, jnp.float32]
    for mine, exact in zip(found, wanted, strict=True):
        rounding = 2**-8 if mine.dtype == jnp.bfloat16 else 1e-5
        np.testing.assert_allclose(mine.astype(jnp.float32), exact, rtol=rounding, atol=1e-4)


def test_devices_compute_their_own_examples():
    devices = mesh(4)
    rng = np.random.default_rng(0)
    kernel = jnp.asarray(rng.normal(size=(3, 3, 1, 2)), jnp.float32)
    x = jnp.asarray(rng.normal(size=(8, 2, 2, 2)), jnp.float32)

    def loss(x, kernel):
        y = depthwise_kernels.depthwise_conv(x, kernel, 1, ((1, 1), (1, 1)), devices, True)
        return jnp.sum(jnp.square(y))

    def reference(x, kernel):
        return jnp.sum(jnp.square(native(x, kernel, 1, ((1, 1), (1, 1)))))

    batch = NamedSharding(devices, PartitionSpec("data"))
    gradients = jax.jit(jax.grad(loss, argnums=(0, 1)))
    arguments = (
        jax.device_put(x, batch),
        jax.device_put(kernel, NamedSharding(devices, PartitionSpec())),
    )
    compiled = gradients.lower(*arguments).compile()
    assert "all-gather" not in compiled.as_text()
    assert "all-reduce" in compiled.as_text()
    grad_x, grad_kernel = compiled(*arguments)
    assert grad_x.sharding.is_equivalent_to(batch, 4)
    exact = jax.grad(reference, argnums=(0, 1))(x, kernel)
    np.testing.assert_allclose(grad_x, exact[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(grad_kernel, exact[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("own", [True, False])
def test_only_asked_for_and_only_on_a_gpu_they_take_the_place_of_the_convolution(own):
    x, kernel = jnp.zeros((2, 8, 8, 4)), jnp.zeros((3, 3, 1, 4))

    def gradients(x, kernel):
        y, vjp = jax.vjp(
            lambda x, w: depthwise_conv(x, w, 1, "same", mesh() if own else None), x, kernel
        )
        return y, *vjp(y)

    traced = jax.jit(gradients).trace(x, kernel)
    for platform in ("cuda", "cpu", "tpu"):
        lowered = traced.lower(lowering_platforms=(platform,)).as_text()
        count = len(re.findall(r"custom_call @\S*triton", lowered))
        assert count == (3 if own and platform == "cuda" else 0)
        if platform == "cuda":
            assert ("stablehlo.convolution" in lowered) != own

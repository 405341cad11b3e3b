import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from efficientnet.network.ops.depthwise import (
    depthwise_conv,
    explicit_padding,
    for_gpu,
    for_tpu,
    native,
)

quick = settings(max_examples=20, deadline=None, derandomize=True)


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
    grad = rng.normal(size=reference(x, kernel, stride, padding).shape).astype(np.float32)

    @jax.jit
    def both(x, kernel, grad):
        results = []
        for convolve in (depthwise_conv, reference):
            out, vjp = jax.vjp(
                functools.partial(convolve, stride=stride, padding=padding), x, kernel
            )
            results.append((out, *vjp(grad)))
        return results

    for mine, wanted in zip(*both(x, kernel, grad), strict=True):
        np.testing.assert_allclose(mine, wanted, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("padding", ["same", "symmetric"])
@pytest.mark.parametrize(
    ("form", "size", "channels", "k", "stride"),
    [
        (for_tpu, 9, 5, 3, 1),
        (for_tpu, 56, 48, 5, 2),
        (for_tpu, 9, 40, 5, 2),
        (for_tpu, 9, 40, 3, 1),
        (for_gpu, 9, 5, 3, 1),
        (for_gpu, 9, 5, 3, 2),
        (for_gpu, 8, 5, 5, 2),
        (for_gpu, 3, 5, 5, 3),
    ],
)
def test_what_other_platforms_get_gives_the_same(form, size, channels, k, stride, padding, dtype):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, size, size - 1, channels)), dtype)
    kernel = jnp.asarray(rng.normal(size=(k, k, 1, channels)), jnp.float32)
    pads = explicit_padding(x.shape[1:3], (k, k), stride, padding)

    @jax.jit
    def both(x, kernel):
        results = []
        for convolve in (form, lambda x, w, *rest: native(x, w.astype(x.dtype), *rest)):
            out, vjp = jax.vjp(lambda x, w, f=convolve: f(x, w, stride, pads), x, kernel)
            results.append((out, *vjp(jnp.cos(out))))
        return results

    close = {"atol": 1e-4, "rtol": 1e-5} if dtype == jnp.float32 else {"atol": 0.2, "rtol": 0.03}
    for mine, wanted in zip(*both(x, kernel), strict=True):
        assert mine.dtype == wanted.dtype
        np.testing.assert_allclose(mine.astype(jnp.float32), wanted.astype(jnp.float32), **close)


def test_a_stride_of_two_rounds_a_gpus_sums_once():
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, 9, 8, 4)), jnp.bfloat16)
    kernel = jnp.asarray(rng.normal(size=(5, 5, 1, 4)), jnp.bfloat16)
    pads = explicit_padding(x.shape[1:3], (5, 5), 2, "same")
    y, vjp = jax.vjp(lambda x: for_gpu(x, kernel, 2, pads), x)
    exact, exact_vjp = jax.vjp(
        lambda x: native(x, kernel.astype(jnp.float32), 2, pads), x.astype(jnp.float32)
    )
    for mine, wanted in ((y, exact), (*vjp(y), *exact_vjp(y.astype(jnp.float32)))):
        assert mine.dtype == jnp.bfloat16
        np.testing.assert_allclose(mine.astype(jnp.float32), wanted, rtol=2**-8, atol=1e-5)


def test_lowered_for_cpu_without_a_grouped_convolution():
    x, kernel = np.zeros((1, 8, 8, 4), np.float32), np.zeros((3, 3, 1, 4), np.float32)
    lowered = jax.jit(lambda x, w: depthwise_conv(x, w, 1, "same"))
    assert "convolution" not in lowered.lower(x, kernel).as_text()
    traced = lowered.trace(x, kernel)
    for platform in ("tpu", "cuda"):
        assert "feature_group_count = 4" in traced.lower(lowering_platforms=(platform,)).as_text()


@pytest.mark.parametrize("stride", [1, 2])
def test_bfloat16_stays_near_float32(stride):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, 9, 8, 4)), jnp.bfloat16)
    kernel = jnp.asarray(rng.normal(size=(5, 5, 1, 4)), jnp.bfloat16)

    def gradients(x, kernel):
        def loss(x, kernel):
            return jnp.sum(depthwise_conv(x, kernel, stride, "same").astype(jnp.float32) ** 2)

        return jax.grad(loss, argnums=(0, 1))(x, kernel)

    exact = gradients(x.astype(jnp.float32), kernel.astype(jnp.float32))
    for mine, wanted in zip(gradients(x, kernel), exact, strict=True):
        assert mine.dtype == jnp.bfloat16
        error = np.abs(np.asarray(mine, np.float32) - wanted)
        assert error.max() < 0.03 * np.abs(wanted).max()


@pytest.mark.parametrize("stride", [1, 2])
def test_sharded_batch_is_never_gathered(stride):
    mesh = Mesh(np.array(jax.devices()), ("data",))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(16, 10, 9, 4)).astype(np.float32)
    kernel = rng.normal(size=(3, 3, 1, 4)).astype(np.float32)

    def loss(x, kernel):
        return jnp.mean(depthwise_conv(x, kernel, stride, "same") ** 2)

    alone = jax.grad(loss, argnums=(0, 1))(x, kernel)
    batch, whole = NamedSharding(mesh, PartitionSpec("data")), NamedSharding(mesh, PartitionSpec())
    step = jax.jit(
        jax.grad(loss, argnums=(0, 1)), in_shardings=(batch, whole), out_shardings=(batch, whole)
    )
    text = step.lower(x, kernel).compile().as_text()
    for collective in ("all-gather", "all-to-all", "collective-permute"):
        assert f" {collective}(" not in text
    assert text.count(" all-reduce(") <= 1
    for mine, wanted in zip(step(x, kernel), alone, strict=True):
        np.testing.assert_allclose(mine, wanted, atol=1e-6, rtol=1e-5)


def test_same_padding_is_asymmetric_at_stride_two():
    assert explicit_padding((224, 224), (3, 3), 2, "same") == ((0, 1), (0, 1))
    assert explicit_padding((7, 7), (5, 5), 2, "same") == ((2, 2), (2, 2))
    assert explicit_padding((224, 224), (3, 3), 2, "symmetric") == ((1, 1), (1, 1))


def test_rejects_an_unknown_padding_and_a_kernel_of_other_channels():
    with pytest.raises(ValueError, match="expected 'same' or 'symmetric'"):
        depthwise_conv(jnp.zeros((1, 4, 4, 2)), jnp.zeros((3, 3, 1, 2)), 1, "valid")
    with pytest.raises(ValueError, match=r"expected \(k, k, 1, 2\)"):
        depthwise_conv(jnp.zeros((1, 4, 4, 2)), jnp.zeros((3, 3, 1, 4)), 1, "same")

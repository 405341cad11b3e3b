"""The layers of an EfficientNet, with variables in the layout of Flax Linen's own layers.

Initializers follow the reference code (tensorflow/tpu, models/official/efficientnet/
efficientnet_model.py, `conv_kernel_initializer` and `dense_kernel_initializer`).
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.sharding import Mesh
from jax.typing import ArrayLike

from efficientnet.network.ops import depthwise, pointwise
from efficientnet.network.ops.activations import ACTIVATIONS

Dtype = Any


def normalize(images: Array, mean: ArrayLike, std: ArrayLike) -> Array:
    """Maps uint8 [N, H, W, C] to (images - mean) / std in float32; both on the scale 0..255.

    Features [N, F], which a feature cache gives in place of images, stay as they are.
    """
    if images.ndim == 2:
        return images
    # Rows as one axis each, because XLA would compute three channels one by one.
    n, height, width, channels = images.shape
    mean, std = (jnp.tile(jnp.broadcast_to(value, channels), width) for value in (mean, std))
    rows = images.reshape(n, height, width * channels)
    return ((rows.astype(jnp.float32) - mean) / std).reshape(images.shape)


def conv_kernel_init(key: Array, shape: Sequence[int], dtype: Dtype = jnp.float32) -> Array:
    """Normal, not truncated, with standard deviation sqrt(2 / fan out); shape [k, k, in, out]."""
    fan_out = shape[0] * shape[1] * shape[3]
    return math.sqrt(2 / fan_out) * jax.random.normal(key, tuple(shape), dtype)


def depthwise_kernel_init(key: Array, shape: Sequence[int], dtype: Dtype = jnp.float32) -> Array:
    """The same with a fan out of k * k, for a kernel [k, k, 1, C].

    The reference takes the fan out from TensorFlow's layout [k, k, C, 1], whose last axis is 1.
    """
    return math.sqrt(2 / (shape[0] * shape[1])) * jax.random.normal(key, tuple(shape), dtype)


def dense_kernel_init(key: Array, shape: Sequence[int], dtype: Dtype = jnp.float32) -> Array:
    """Uniform in +-1 / sqrt(out), for a kernel [in, out]."""
    bound = 1 / math.sqrt(shape[1])
    return jax.random.uniform(key, tuple(shape), dtype, -bound, bound)


class Conv(nn.Module):
    """Dense convolution of [N, H, W, C] to [N, H', W', features], computed in `dtype`.

    Its variable 'kernel' [k, k, C, features] is float32, and so is the kernel's gradient when it is
    summed over devices. `padding` is 'same' or 'symmetric', see `depthwise.explicit_padding`. A 1x1
    convolution takes a `gate` [N, 1, 1, C], which scales the channels of each example first.
    """

    features: int
    kernel_size: int
    strides: int = 1
    padding: str = "same"
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, gate: Array | None = None) -> Array:
        """Convolves `x`."""
        k = self.kernel_size
        kernel = self.param("kernel", conv_kernel_init, (k, k, x.shape[-1], self.features))
        x = x.astype(self.dtype)
        if k == 1 and self.strides == 1:
            if gate is None:
                return pointwise.pointwise_conv(x, kernel[0, 0])
            return pointwise.gated_pointwise_conv(x, gate, kernel[0, 0])
        pads = depthwise.explicit_padding(x.shape[1:3], (k, k), self.strides, self.padding)
        return dense_conv(x, kernel, self.strides, pads)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def dense_conv(x: Array, kernel: Array, stride: int, pads: depthwise.Pads) -> Array:
    """The convolution of [N, H, W, C] with [k, k, C, F], in the dtype of `x`."""
    return _convolve(x, kernel.astype(x.dtype), stride, pads)


def _convolve(x: Array, kernel: Array, stride: int, pads: depthwise.Pads) -> Array:
    def by_patches(x: Array, kernel: Array) -> Array:
        """A matrix product with the pixels of each window side by side, as the channels are few."""
        padded = depthwise.pad(x, pads)
        rows, columns = (n - k + 1 for n, k in zip(padded.shape[1:3], kernel.shape, strict=False))
        windows = [
            padded[:, a : a + rows : stride, b : b + columns : stride]
            for a in range(kernel.shape[0])
            for b in range(kernel.shape[1])
        ]
        patches = lax.optimization_barrier(jnp.concatenate(windows, -1))
        return pointwise.pointwise_conv(patches, kernel.reshape(-1, kernel.shape[-1]))

    # XLA on CPU needs twice as long for the stem's native convolution.
    native = functools.partial(depthwise.convolve, stride=stride, pads=pads, groups=1)
    return lax.platform_dependent(x, kernel, cpu=by_patches, default=native)


def _dense_forward(
    x: Array, kernel: Array, stride: int, pads: depthwise.Pads
) -> tuple[Array, tuple[Array, Array]]:
    return dense_conv(x, kernel, stride, pads), (x, kernel)


def _dense_backward(
    stride: int, pads: depthwise.Pads, residuals: tuple[Array, Array], grad: Array
) -> tuple[Array, Array]:
    x, kernel = residuals
    _, to_x = jax.vjp(lambda x: _convolve(x, kernel.astype(x.dtype), stride, pads), x)
    wide = x.astype(kernel.dtype)
    _, to_kernel = jax.vjp(lambda kernel: _convolve(wide, kernel, stride, pads), kernel)
    return *to_x(grad), *to_kernel(grad.astype(kernel.dtype))


dense_conv.defvjp(_dense_forward, _dense_backward)


class PointwiseKernel(nn.Module):
    """The kernel of a 1x1 `Conv` alone, for a caller that convolves with it."""

    features: int

    @nn.compact
    def __call__(self, channels: int) -> Array:
        """Returns the kernel [channels, features]."""
        return self.param("kernel", conv_kernel_init, (1, 1, channels, self.features))[0, 0]


class KernelAndBias(nn.Module):
    """The kernel and bias of a 1x1 convolution alone, for `squeeze_excite`."""

    features: int

    @nn.compact
    def __call__(self, channels: int) -> tuple[Array, Array]:
        """Returns the kernel [channels, features] and the bias [features]."""
        kernel = self.param("kernel", conv_kernel_init, (1, 1, channels, self.features))
        return kernel[0, 0], self.param("bias", nn.initializers.zeros, (self.features,))


def squeeze_excite(
    x: Array, reduce: tuple[Array, Array], expand: tuple[Array, Array], activation: str
) -> Array:
    """Factors between 0 and 1 for the channels of each example (Hu et al., 2018).

    Args:
      x: [N, H, W, C].
      reduce: float32 kernel [C, F] and bias [F], applied to the channels' means.
      expand: float32 kernel [F, C] and bias [C], applied after the activation.
      activation: a key of `ACTIVATIONS`.

    Returns:
      [N, 1, 1, C], computed in float32, in the dtype of `x`.
    """
    with jax.named_scope("se"):  # for profiles
        means = jnp.mean(x, (1, 2), jnp.float32, keepdims=True)
        hidden = ACTIVATIONS[activation](jnp.dot(means, reduce[0]) + reduce[1])
        factors = jax.nn.sigmoid(jnp.dot(hidden, expand[0]) + expand[1])
        return factors.astype(x.dtype)


class DepthwiseConv(nn.Module):
    """Depthwise convolution of [N, H, W, C], computed in `dtype`; 'kernel' [k, k, 1, C].

    For `own_kernels` see `depthwise.depthwise_conv`.
    """

    kernel_size: int
    strides: int = 1
    padding: str = "same"
    dtype: Dtype = jnp.float32
    own_kernels: Mesh | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Convolves every channel of `x`."""
        k = self.kernel_size
        kernel = self.param("kernel", depthwise_kernel_init, (k, k, 1, x.shape[-1]))
        return depthwise.depthwise_conv(
            x.astype(self.dtype), kernel, self.strides, self.padding, self.own_kernels
        )


def stochastic_depth(x: Array, survival: float, rng: Array) -> Array:
    """Keeps each example of [N, ...] with probability `survival`, scaled by 1 / `survival`.

    A dropped example becomes zero, so that only the shortcut remains (Huang et al., 2016).
    """
    keep = jax.random.bernoulli(rng, survival, (x.shape[0],) + (1,) * (x.ndim - 1))
    return jnp.where(keep, x / survival, 0).astype(x.dtype)

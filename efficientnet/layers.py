"""The layers an EfficientNet is made of, with variables laid out as Flax Linen's own.

Initializers follow the reference code (tensorflow/tpu, models/official/efficientnet/
efficientnet_model.py, `conv_kernel_initializer` and `dense_kernel_initializer`).
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax

from efficientnet import depthwise

Dtype = Any


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

    Variables: 'kernel' [k, k, C, features] and, with `use_bias`, 'bias' [features], float32.
    `padding` is 'same' or 'symmetric', see `depthwise.explicit_padding`.
    """

    features: int
    kernel_size: int
    strides: int = 1
    padding: str = "same"
    use_bias: bool = False
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Convolves `x`."""
        k = self.kernel_size
        kernel = self.param("kernel", conv_kernel_init, (k, k, x.shape[-1], self.features))
        x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
        if k == 1 and self.strides == 1:
            y = pointwise_conv(x, kernel[0, 0])
        else:
            pads = depthwise.explicit_padding(x.shape[1:3], (k, k), self.strides, self.padding)
            y = lax.conv_general_dilated(
                x,
                kernel,
                (self.strides, self.strides),
                pads,
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
        if self.use_bias:
            y += self.param("bias", nn.initializers.zeros, (self.features,)).astype(self.dtype)
        return y


@jax.custom_vjp
def pointwise_conv(x: Array, kernel: Array) -> Array:
    """A 1x1 convolution as a dot: [N, H, W, C] with [C, F] to [N, H, W, F]."""
    return jnp.dot(x, kernel)


def _pointwise_forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return pointwise_conv(x, kernel), (x, kernel)


def _pointwise_backward(residuals: tuple[Array, Array], grad: Array) -> tuple[Array, Array]:
    x, kernel = residuals
    # Pixels in one axis: over several, dot_general would copy both operands in another order.
    pixels, grads = x.reshape(-1, x.shape[-1]), grad.reshape(-1, grad.shape[-1])
    # XLA on CPU copies the left operand transposed: let it be the smaller.
    if x.shape[-1] <= grad.shape[-1]:
        grad_kernel = _over_pixels(pixels, grads)
    else:
        grad_kernel = _over_pixels(grads, pixels).T
    return jnp.dot(grad, kernel.T), grad_kernel


def _over_pixels(a: Array, b: Array) -> Array:
    """[P, A], [P, B] -> [A, B]."""
    return lax.dot_general(a, b, (((0,), (0,)), ((), ())))


pointwise_conv.defvjp(_pointwise_forward, _pointwise_backward)


class DepthwiseConv(nn.Module):
    """Depthwise convolution of [N, H, W, C], computed in `dtype`; 'kernel' [k, k, 1, C]."""

    kernel_size: int
    strides: int = 1
    padding: str = "same"
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Convolves every channel of `x`."""
        k = self.kernel_size
        kernel = self.param("kernel", depthwise_kernel_init, (k, k, 1, x.shape[-1]))
        return depthwise.depthwise_conv(
            x.astype(self.dtype), kernel.astype(self.dtype), self.strides, self.padding
        )


class BatchNorm(nn.Module):
    """Batch normalization of the last axis (Ioffe & Szegedy, 2015) and the activation after it.

    Parameters 'scale' and 'bias' and the running 'mean' and 'var' (collection 'batch_stats') are
    float32, and so are the sums, whatever the `dtype` that is returned. With `use_running_average`
    it is one scale and one shift; else it normalizes by the batch and moves the running statistics
    (the variance is the biased one, as in the reference). `activation` is a key of `ACTIVATIONS`.
    Each of so many consecutive `parts` of the batch is normalized by its own statistics, of which
    the running ones get the mean: with a part per device, no device waits for another.
    """

    use_running_average: bool
    epsilon: float = 1e-3
    momentum: float = 0.99
    activation: str = "linear"
    parts: int = 1
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Normalizes `x` [..., C]."""
        shape = (x.shape[-1],)
        scale = self.param("scale", nn.initializers.ones, shape)
        bias = self.param("bias", nn.initializers.zeros, shape)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, shape, jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, shape, jnp.float32)
        x = x.astype(self.dtype)
        if self.use_running_average:
            factor = scale * lax.rsqrt(running_var.value + self.epsilon)
            return scale_and_activate(
                x, factor, bias - running_mean.value * factor, self.activation
            )
        y, mean, var = self._by_batch(x, scale, bias)
        if not self.is_initializing():
            keep = self.momentum
            running_mean.value = keep * running_mean.value + (1 - keep) * mean
            running_var.value = keep * running_var.value + (1 - keep) * var
        return y

    def _by_batch(self, x: Array, scale: Array, bias: Array) -> tuple[Array, Array, Array]:
        """`normalize_and_activate` for each part, and the means of their statistics."""
        if self.parts == 1 or self.is_initializing():
            return normalize_and_activate(x, scale, bias, self.epsilon, self.activation)
        y, means, variances = jax.vmap(
            lambda part: normalize_and_activate(part, scale, bias, self.epsilon, self.activation)
        )(x.reshape(self.parts, -1, *x.shape[1:]))
        return y.reshape(x.shape), jnp.mean(means, 0), jnp.mean(variances, 0)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def scale_and_activate(x: Array, factor: Array, shift: Array, activation: str) -> Array:
    """activation(x * factor + shift) in float32, for x [..., C] and float32 vectors [C].

    Of the big arrays only `x` is kept for the gradient; the rest is computed again from it.
    """
    y = ACTIVATIONS[activation](x.astype(jnp.float32) * factor + shift)
    return y.astype(x.dtype)


def _scale_and_activate_forward(
    x: Array, factor: Array, shift: Array, activation: str
) -> tuple[Array, tuple[Array, Array, Array]]:
    return scale_and_activate(x, factor, shift, activation), (x, factor, shift)


def _scale_and_activate_backward(
    activation: str, residuals: tuple[Array, Array, Array], grad: Array
) -> tuple[Array, Array, Array]:
    x, factor, shift = residuals
    grad = _through_activation(activation, x, factor, shift, grad)
    axes = tuple(range(x.ndim - 1))
    grad_factor = jnp.sum(grad * x.astype(jnp.float32), axes)
    return (grad * factor).astype(x.dtype), grad_factor, jnp.sum(grad, axes)


scale_and_activate.defvjp(_scale_and_activate_forward, _scale_and_activate_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def normalize_and_activate(
    x: Array, scale: Array, bias: Array, epsilon: float, activation: str
) -> tuple[Array, Array, Array]:
    """BatchNorm by the batch's own statistics, then the activation; keeps `x` as above.

    Returns the output and the float32 mean and biased variance [C], through which no gradient
    flows other than the output's own.
    """
    return _normalize_and_activate_forward(x, scale, bias, epsilon, activation)[0]


def _normalize_and_activate_forward(
    x: Array, scale: Array, bias: Array, epsilon: float, activation: str
) -> tuple[tuple[Array, Array, Array], tuple[Array, ...]]:
    axes = tuple(range(x.ndim - 1))
    x32 = x.astype(jnp.float32)
    mean, mean_of_squares = jnp.mean(x32, axes), jnp.mean(jnp.square(x32), axes)
    var = jnp.maximum(mean_of_squares - jnp.square(mean), 0)
    inverse = lax.rsqrt(var + epsilon)
    factor = scale * inverse
    shift = bias - mean * factor
    y = scale_and_activate(x, factor, shift, activation)
    return (y, mean, var), (x, mean, inverse, factor, shift)


def _normalize_and_activate_backward(
    epsilon: float,
    activation: str,
    residuals: tuple[Array, ...],
    grads: tuple[Array, Array, Array],
) -> tuple[Array, Array, Array]:
    x, mean, inverse, factor, shift = residuals
    grad = _through_activation(activation, x, factor, shift, grads[0])
    axes = tuple(range(x.ndim - 1))
    x32 = x.astype(jnp.float32)
    grad_bias = jnp.sum(grad, axes)
    grad_scale = inverse * (jnp.sum(grad * x32, axes) - mean * grad_bias)
    # grad_x = factor * (grad - (grad_bias + (x - mean) * inverse * grad_scale) / count)
    slope = factor * inverse * grad_scale / (x.size // x.shape[-1])
    offset = factor * grad_bias / (x.size // x.shape[-1]) - mean * slope
    grad_x = factor * grad - slope * x32 - offset
    return grad_x.astype(x.dtype), grad_scale, grad_bias


normalize_and_activate.defvjp(_normalize_and_activate_forward, _normalize_and_activate_backward)


def _through_activation(
    activation: str, x: Array, factor: Array, shift: Array, grad: Array
) -> Array:
    # Without the barrier XLA would find the same sigmoid in the forward pass and store it.
    shift = lax.optimization_barrier(shift)
    _, pull = jax.vjp(ACTIVATIONS[activation], x.astype(jnp.float32) * factor + shift)
    return pull(grad.astype(jnp.float32))[0]


def squeeze_excite(
    x: Array, filters: int, activation: Callable[[Array], Array], dtype: Dtype, prefix: str
) -> Array:
    """Scales every channel of [N, H, W, C] by a gate made from all channel means (Hu et al., 2018).

    Called inside a compact method, it adds the 1x1 convolutions `{prefix}_se_reduce` (to `filters`)
    and `{prefix}_se_expand` to that module.
    """
    with jax.named_scope(f"{prefix}_se"):  # for profiles
        gate = jnp.mean(x, axis=(1, 2), keepdims=True)
        gate = Conv(filters, 1, use_bias=True, dtype=dtype, name=f"{prefix}_se_reduce")(gate)
        gate = activation(gate)
        gate = Conv(x.shape[-1], 1, use_bias=True, dtype=dtype, name=f"{prefix}_se_expand")(gate)
        return x * jax.nn.sigmoid(gate)


def stochastic_depth(x: Array, survival: float, rng: Array) -> Array:
    """Keeps each example of [N, ...] with probability `survival`, scaled by 1 / `survival`.

    A dropped example becomes zero, so that only the shortcut remains (Huang et al., 2016).
    """
    keep = jax.random.bernoulli(rng, survival, (x.shape[0],) + (1,) * (x.ndim - 1))
    return jnp.where(keep, x / survival, 0).astype(x.dtype)


def swish(x: Array) -> Array:
    """x * sigmoid(x) (Ramachandran et al., 2017)."""
    return x * jax.nn.sigmoid(x)


def relu6(x: Array) -> Array:
    """min(max(x, 0), 6), the activation of the Lite variants."""
    return jnp.clip(x, 0, 6)


def linear(x: Array) -> Array:
    """No activation."""
    return x


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "swish": swish,
    "relu6": relu6,
    "linear": linear,
}

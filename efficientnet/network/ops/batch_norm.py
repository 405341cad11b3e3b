"""Batch normalization with the activation after it, alone or together with a 1x1 convolution."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax

from efficientnet.network.ops.activations import ACTIVATIONS
from efficientnet.network.ops.pointwise import pointwise_conv, sum_over_pixels

Dtype = Any


class BatchNorm(nn.Module):
    """Batch normalization of the last axis (Ioffe & Szegedy, 2015) and the activation after it.

    Parameters 'scale' and 'bias' and the running 'mean' and 'var' (collection 'batch_stats') are
    float32, and so are the sums; only the result has `dtype`.

    Attributes:
      use_running_average: normalize by the running statistics; else by those of the batch, which
        also update the running ones (with the biased variance, as in the reference).
      epsilon: added to the variance.
      momentum: of the running statistics.
      activation: a key of `ACTIVATIONS`.
      parts: number of consecutive parts of the batch that are each normalized by their own
        statistics, whose mean updates the running ones; with one part per device, no device waits
        for another.
      dtype: of the result.
    """

    use_running_average: bool
    epsilon: float = 1e-3
    momentum: float = 0.99
    activation: str = "linear"
    parts: int = 1
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, kernel: Array | None = None) -> Array:
        """Normalizes `x` [..., C], or its 1x1 convolution with a `kernel` [C, F]."""
        shape = (x.shape[-1] if kernel is None else kernel.shape[-1],)
        scale = self.param("scale", nn.initializers.ones, shape)
        bias = self.param("bias", nn.initializers.zeros, shape)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, shape, jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, shape, jnp.float32)
        x = x.astype(self.dtype)
        if self.use_running_average:
            factor = scale * lax.rsqrt(running_var.value + self.epsilon)
            shift = bias - running_mean.value * factor
            x = x if kernel is None else pointwise_conv(x, kernel)
            return scale_and_activate(x, factor, shift, self.activation)

        def normalized(x: Array) -> tuple[Array, Array, Array]:
            how = (scale, bias, self.epsilon, self.activation)
            if kernel is None:
                return normalize_and_activate(x, *how)
            return convolve_normalize_and_activate(x, kernel, *how)

        if self.parts == 1 or self.is_initializing():
            y, mean, var = normalized(x)
        else:
            y, *statistics = jax.vmap(normalized)(x.reshape(self.parts, -1, *x.shape[1:]))
            y, (mean, var) = y.reshape(-1, *y.shape[2:]), (jnp.mean(s, 0) for s in statistics)
        if not self.is_initializing():
            keep = self.momentum
            running_mean.value = keep * running_mean.value + (1 - keep) * mean
            running_var.value = keep * running_var.value + (1 - keep) * var
        return y


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def scale_and_activate(x: Array, factor: Array, shift: Array, activation: str) -> Array:
    """activation(x * factor + shift) in float32, for x [..., C] and float32 vectors [C].

    Of the large arrays only `x` is stored for the gradient; the rest is recomputed from it.
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
    """BatchNorm by the batch's own statistics, then the activation; stores `x` as above.

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

    def again(x: Array, grad: Array) -> Array:
        """The same, for XLA for GPUs, which would store it in float32 until the sums are known."""
        later, _ = lax.optimization_barrier((shift, grad_bias))
        return _through_activation(activation, x, factor, later, grads[0])

    grad = lax.platform_dependent(x, grad, cuda=again, default=lambda x, grad: grad)
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


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def convolve_normalize_and_activate(
    x: Array, kernel: Array, scale: Array, bias: Array, epsilon: float, activation: str
) -> tuple[Array, Array, Array]:
    """`normalize_and_activate` of a 1x1 convolution, `x` [..., C] with `kernel` [C, F].

    The statistics of the convolution's output y = x W follow from small matrices: with the mean m
    and the covariance S of x over all pixels, y has the mean m W and the variances diag(W' S W). In
    the gradient, where g is that of the activation's input, sum(g y) = diag(W' x' g), and x' g is
    needed for the kernel's gradient anyway. What BatchNorm subtracts from the gradient of y is
    linear in y, hence in x. So statistics alone never need a pass over the many channels of y.
    """
    return _convolve_forward(x, kernel, scale, bias, epsilon, activation)[0]


def _convolve_forward(
    x: Array, kernel: Array, scale: Array, bias: Array, epsilon: float, activation: str
) -> tuple[tuple[Array, Array, Array], tuple[Array, ...]]:
    kernel32 = kernel.astype(x.dtype).astype(jnp.float32)  # as the convolution rounds it
    pixels = x.reshape(-1, x.shape[-1])
    x_mean = jnp.mean(pixels, 0, dtype=jnp.float32)
    covariance = sum_over_pixels(x, x) / len(pixels) - jnp.outer(x_mean, x_mean)
    covariance_kernel = _exactly(covariance, kernel32)
    mean = _exactly(x_mean, kernel32)
    var = jnp.maximum(jnp.sum(kernel32 * covariance_kernel, 0), 0)
    inverse = lax.rsqrt(var + epsilon)
    factor = scale * inverse
    shift = bias - mean * factor
    y = pointwise_conv(x, kernel)
    out = scale_and_activate(y, factor, shift, activation)
    residuals = (x, y, kernel, x_mean, covariance_kernel, inverse, factor, shift)
    return (out, mean, var), residuals


def _convolve_backward(
    epsilon: float,
    activation: str,
    residuals: tuple[Array, ...],
    grads: tuple[Array, Array, Array],
) -> tuple[Array, Array, Array, Array]:
    x, y, kernel, x_mean, covariance_kernel, inverse, factor, shift = residuals
    axes, count = tuple(range(x.ndim - 1)), x.size // x.shape[-1]
    kernel32 = kernel.astype(x.dtype).astype(jnp.float32)
    wide = _through_activation(activation, y, factor, shift, grads[0])
    grad = lax.optimization_barrier(wide.astype(x.dtype))
    # XLA for TPU takes the sum where it computes `wide`, with the depthwise convolution before it.
    grad_bias = lax.platform_dependent(
        wide,
        grad,
        cpu=lambda wide, grad: jnp.sum(grad, axes, dtype=jnp.float32),
        default=lambda wide, grad: jnp.sum(wide, axes),
    )
    x_grad = sum_over_pixels(x, grad) - jnp.outer(x_mean, grad_bias)
    grad_scale = inverse * jnp.sum(kernel32 * x_grad, 0)
    # The gradient of y is factor * (grad - grad_bias / count) - slope * (y - mean).
    slope = factor * inverse * grad_scale / count
    grad_kernel = factor * x_grad - slope * count * covariance_kernel
    back = _exactly(kernel32 * slope, kernel32.T)
    constant = _exactly(x_mean, back) - _exactly(factor * grad_bias / count, kernel32.T)
    # Added and not subtracted, because cuBLAS adds a product to what is there.
    grad_x = (
        jnp.dot(grad, (kernel32 * factor).astype(x.dtype).T, preferred_element_type=jnp.float32)
        + jnp.dot(x, -back.astype(x.dtype), preferred_element_type=jnp.float32)
        + constant
    )
    return grad_x.astype(x.dtype), grad_kernel.astype(kernel.dtype), grad_scale, grad_bias


convolve_normalize_and_activate.defvjp(_convolve_forward, _convolve_backward)


def _exactly(a: Array, b: Array) -> Array:
    """A product of small float32 matrices, in full precision on a TPU too."""
    return jnp.dot(a, b, precision="highest")

"""1x1 convolutions as matrix products, with gradients that XLA computes without copies.

They compute in the dtype of the pixels. The gradient of a float32 kernel is float32, also when it
is summed over devices.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax


@jax.custom_vjp
def pointwise_conv(x: Array, kernel: Array) -> Array:
    """A 1x1 convolution as a dot: [N, H, W, C] with [C, F] to [N, H, W, F]."""
    return jnp.dot(x, kernel.astype(x.dtype))


def _pointwise_forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return pointwise_conv(x, kernel), (x, kernel)


def _pointwise_backward(residuals: tuple[Array, Array], grad: Array) -> tuple[Array, Array]:
    x, kernel = residuals
    if x.shape[-1] <= grad.shape[-1]:
        grad_kernel = sum_over_pixels(x, grad)
    else:
        grad_kernel = sum_over_pixels(grad, x).T
    return jnp.dot(grad, kernel.astype(x.dtype).T), grad_kernel.astype(kernel.dtype)


pointwise_conv.defvjp(_pointwise_forward, _pointwise_backward)


def sum_over_pixels(a: Array, b: Array) -> Array:
    """The sum of the outer products of rows, [..., A] and [..., B] to float32 [A, B].

    XLA on CPU transposes the left operand by a copy, so it should be the smaller one. It would copy
    both if the pixels had several axes, while a TPU would copy both to merge the axes.
    """

    def product(a: Array, b: Array) -> Array:
        axes = tuple(range(a.ndim - 1))
        return lax.dot_general(
            a,
            b,
            ((axes, axes), ((), ())),
            precision="highest" if a.dtype == jnp.float32 else None,
            preferred_element_type=jnp.float32,
        )

    def in_one_axis(a: Array, b: Array) -> Array:
        return product(a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1]))

    return lax.platform_dependent(a, b, cpu=in_one_axis, default=product)


def gated_pointwise_conv(x: Array, gate: Array, kernel: Array) -> Array:
    """A 1x1 convolution of [N, H, W, C] times [N, 1, 1, C] with [C, F], to [N, H, W, F]."""
    gate = gate.astype(x.dtype)

    def scaled_first(x: Array, gate: Array, kernel: Array) -> Array:
        return pointwise_conv(x * gate, kernel)

    if x.shape[1] * x.shape[2] < x.shape[3]:
        return scaled_first(x, gate, kernel)
    return lax.platform_dependent(
        x,
        gate,
        kernel,
        cpu=lambda x, gate, kernel: _kernel_per_example(x, gate, kernel.astype(x.dtype)),
        default=scaled_first,
    )


@jax.custom_vjp
def _kernel_per_example(x: Array, gate: Array, kernel: Array) -> Array:
    """Scales the kernel instead of the pixels: fewer numbers, and the gradients are products.

    With Q_n the sum over example n's pixels of x' grad, the kernel's gradient is the sum over n of
    gate_n Q_n, and the gate's the sum over F of kernel Q_n.
    """
    return _kernel_per_example_forward(x, gate, kernel)[0]


def _kernel_per_example_forward(
    x: Array, gate: Array, kernel: Array
) -> tuple[Array, tuple[Array, ...]]:
    n, height, width, channels = x.shape
    kernels = gate.reshape(n, channels, 1) * kernel
    y = jnp.matmul(x.reshape(n, height * width, channels), kernels)
    return y.reshape(n, height, width, -1), (x, gate, kernel)


def _kernel_per_example_backward(
    residuals: tuple[Array, ...], grad: Array
) -> tuple[Array, Array, Array]:
    x, gate, kernel = residuals
    n, height, width, channels = x.shape
    pixels, grads = (a.reshape(n, height * width, -1) for a in (x, grad))
    # The smaller one on the left, as above.
    products = lax.dot_general(grads, pixels, (((1,), (1,)), ((0,), (0,))))  # [N, F, C]
    grad_gate = jnp.sum(products * kernel.T, 1).reshape(gate.shape)
    grad_kernel = jnp.sum(products * gate.reshape(n, 1, channels), 0).T
    kernels = gate.reshape(n, 1, channels) * kernel.T
    return jnp.matmul(grads, kernels).reshape(x.shape), grad_gate, grad_kernel


_kernel_per_example.defvjp(_kernel_per_example_forward, _kernel_per_example_backward)

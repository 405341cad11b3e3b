"""Depthwise convolution: one function, lowered by platform.

XLA on CPU runs a grouped convolution as scalar loops and differentiates it as a dense one, so there
the convolution is written as a sum of shifted, scaled slices, which fuse into one vectorized loop,
with gradients of the same kind. TPU and GPU have native depthwise convolutions.
"""

import functools
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

Pads = tuple[tuple[int, int], tuple[int, int]]  # (top, bottom), (left, right)


def explicit_padding(size: Sequence[int], kernel: Sequence[int], stride: int, padding: str) -> Pads:
    """Zeros to add ((top, bottom), (left, right)) around an image of `size` (height, width).

    'same' is TensorFlow's SAME, with one more zero after than before if their sum is odd;
    'symmetric' is k // 2 on each side, as in PyTorch's models. Anything else is a ValueError.
    """
    if padding == "same":
        # Output ceil(n / stride): the last window must end inside the padded image.
        totals = [
            max((-(-n // stride) - 1) * stride + k - n, 0)
            for n, k in zip(size, kernel, strict=True)
        ]
        top_bottom, left_right = ((total // 2, total - total // 2) for total in totals)
        return top_bottom, left_right
    if padding == "symmetric":
        return (kernel[0] // 2, kernel[0] // 2), (kernel[1] // 2, kernel[1] // 2)
    raise ValueError(f"padding is {padding!r}, expected 'same' or 'symmetric'")


def depthwise_conv(x: Array, kernel: Array, stride: int, padding: str) -> Array:
    """Convolves each channel with its own kernel.

    Args:
      x: [N, H, W, C].
      kernel: [k, k, 1, C], float32 or of the dtype of `x`, in which it is computed.
      stride: in both directions.
      padding: 'same' or 'symmetric', see `explicit_padding`.

    Returns:
      [N, H', W', C]. Both lowerings agree to rounding, forward and both gradients.
    """
    if kernel.ndim != 4 or kernel.shape[2:] != (1, x.shape[-1]):
        raise ValueError(f"kernel is {kernel.shape}, expected (k, k, 1, {x.shape[-1]})")
    pads = explicit_padding(x.shape[1:3], kernel.shape[:2], stride, padding)
    return lax.platform_dependent(
        x,
        kernel,
        cpu=lambda x, kernel: shifted_products(x, kernel.astype(x.dtype), stride, pads),
        tpu=lambda x, kernel: for_tpu(x, kernel, stride, pads),
        default=lambda x, kernel: native(x, kernel.astype(x.dtype), stride, pads),
    )


def native(x: Array, kernel: Array, stride: int, pads: Pads) -> Array:
    """The grouped convolution of XLA."""
    return convolve(x, kernel, stride, pads, groups=x.shape[-1])


def convolve(x: Array, kernel: Array, stride: int, pads: Pads, groups: int) -> Array:
    """XLA's convolution of [N, H, W, C] with [k, k, C / groups, F], in groups of channels."""
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        pads,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


# On the CPU, rows that the kernel's gradient adds to its sums at a time, at most.
ROWS_AT_ONCE = 4
# Channels of a block of the block-diagonal kernel, at most.
DENSE_CHANNELS = 32


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def for_tpu(x: Array, kernel: Array, stride: int, pads: Pads) -> Array:
    """The form with the cheapest training step by the TPU compiler's estimates.

    The native convolution multiplies in the vector unit. With few channels, or where the stride of
    a large kernel skips much of the work, a matrix unit is faster although most of its factors are
    zeros (docs/performance.md). The kernel's gradient is the native one, in float32.
    """
    return _cheapest(x, kernel.astype(x.dtype), stride, pads)


def _cheapest(x: Array, kernel: Array, stride: int, pads: Pads) -> Array:
    return (block_diagonal if _dense(x, kernel, stride) else native)(x, kernel, stride, pads)


def _dense(x: Array, kernel: Array, stride: int) -> bool:
    few = x.shape[-1] <= DENSE_CHANNELS
    strided = kernel.shape[0] == 5 and stride == 2 and x.shape[1] >= 56
    return x.dtype == jnp.bfloat16 and (few or strided)


def block_diagonal(x: Array, kernel: Array, stride: int, pads: Pads) -> Array:
    """Few groups of many channels with zeros between them, which leave the result exact."""
    channels = x.shape[-1]
    width = max(size for size in range(1, DENSE_CHANNELS + 1) if channels % size == 0)
    same = jnp.arange(width)[:, None] == jnp.arange(channels)[None, :] % width
    return convolve(x, jnp.where(same, kernel, 0), stride, pads, channels // width)


def _for_tpu_forward(
    x: Array, kernel: Array, stride: int, pads: Pads
) -> tuple[Array, tuple[Array, Array]]:
    return for_tpu(x, kernel, stride, pads), (x, kernel)


def _for_tpu_backward(
    stride: int, pads: Pads, residuals: tuple[Array, Array], grad: Array
) -> tuple[Array, Array]:
    x, kernel = residuals
    if kernel.shape[0] == 5 and not _dense(x, kernel, stride):
        # Both gradients read it in large, overlapping windows, so recomputing it costs more than
        # storing it.
        grad = lax.optimization_barrier(grad)
    _, to_x = jax.vjp(lambda x: _cheapest(x, kernel.astype(x.dtype), stride, pads), x)
    wide = x.astype(kernel.dtype)
    _, to_kernel = jax.vjp(lambda kernel: native(wide, kernel, stride, pads), kernel)
    return *to_x(grad), *to_kernel(grad.astype(kernel.dtype))


for_tpu.defvjp(_for_tpu_forward, _for_tpu_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def shifted_products(x: Array, kernel: Array, stride: int, pads: Pads) -> Array:
    """The same convolution as a sum over the kernel's taps of shifted slices times weights."""
    return _forward(x, kernel, stride, pads)[0]


def _forward(x: Array, kernel: Array, stride: int, pads: Pads) -> tuple[Array, tuple[Array, Array]]:
    padded = pad(x, pads)
    size = tuple(
        (n - k) // stride + 1 for n, k in zip(padded.shape[1:3], kernel.shape[:2], strict=True)
    )
    return _sum_of_shifts(padded, kernel, (0, 0), stride, size), (padded, kernel)


def _backward(
    stride: int, pads: Pads, residuals: tuple[Array, Array], grad: Array
) -> tuple[Array, Array]:
    padded, kernel = residuals
    taps = kernel.shape[:2]
    # Rows and columns of the input, counted in strides: padded row m * stride + p meets the taps
    # p, p + stride, ... of the output rows m, m - 1, ...
    first = tuple(before // stride for before, _ in pads)
    end = tuple(-(-(n - pad[1]) // stride) for n, pad in zip(padded.shape[1:3], pads, strict=True))
    # As many zeros around the gradient as the input's gradient needs; the kernel's reads them too.
    zeros = [
        ((k - 1) // stride - low, max(high - n, 0))
        for k, low, high, n in zip(taps, first, end, grad.shape[1:3], strict=True)
    ]
    around = pad(grad, zeros)
    corner = zeros[0][0], zeros[1][0]
    grad_kernel = _kernel_gradient(padded, around, corner, grad.shape[1:3], kernel.shape, stride)
    grad_x = _input_gradient(around, kernel, (end[0] - first[0], end[1] - first[1]), stride)
    begins = (before - low * stride for (before, _), low in zip(pads, first, strict=True))
    windows = (
        slice(begin, begin + n - sum(pad))
        for begin, n, pad in zip(begins, padded.shape[1:3], pads, strict=True)
    )
    return grad_x[:, *windows], grad_kernel.astype(kernel.dtype)


shifted_products.defvjp(_forward, _backward)


def _input_gradient(around: Array, kernel: Array, size: tuple[int, int], stride: int) -> Array:
    """Each residue of rows and columns modulo the stride is a stride-1 convolution.

    Args:
      around: the output's gradient, with zeros around it.
      kernel: [k, k, 1, C].
      size: rows and columns of each residue.

    Returns:
      [N, rows * stride, columns * stride, C].
    """
    phases = []
    for p in range(stride):
        line = []
        for q in range(stride):
            part = kernel[p::stride, q::stride][::-1, ::-1]
            begin = tuple(
                (k - 1) // stride + 1 - n
                for k, n in zip(kernel.shape[:2], part.shape[:2], strict=True)
            )
            line.append(_sum_of_shifts(around, part, begin, 1, size))
        phases.append(line)
    if stride == 1:
        return phases[0][0]
    full = jnp.stack([jnp.stack(line, axis=3) for line in phases], axis=2)
    return full.reshape(len(full), size[0] * stride, size[1] * stride, full.shape[-1])


def _kernel_gradient(
    padded: Array,
    around: Array,
    corner: tuple[int, int],
    size: Sequence[int],
    shape: Sequence[int],
    stride: int,
) -> Array:
    """Sums over rows first, elementwise, in one pass over the padded input and the gradient.

    Reducing each tap's product at once would copy a shifted slice of the whole image per tap. The
    accumulators keep the axis of examples, so a batch sharded over devices stays where it is.

    Args:
      padded: the input with its padding.
      around: the output's gradient, of `size`, from `corner` on.
      corner: first row and column.
      size: rows and columns.
      shape: of the kernel.
      stride: in both directions.
    """
    (k_h, k_w), (height, width) = shape[:2], size
    at_once = max(n for n in range(1, ROWS_AT_ONCE + 1) if height % n == 0)

    def row_products(row: ArrayLike) -> tuple[Array, ...]:
        above = lax.dynamic_slice_in_dim(padded, row * stride, k_h, axis=1)
        above = jnp.moveaxis(above, 1, 0).astype(jnp.float32)
        here = lax.dynamic_index_in_dim(around, row + corner[0], axis=1, keepdims=False)
        here = here[:, corner[1] : corner[1] + width].astype(jnp.float32)
        return tuple(
            above[:, :, b : b + (width - 1) * stride + 1 : stride] * here for b in range(k_w)
        )

    def add(a: tuple[Array, ...], b: tuple[Array, ...]) -> tuple[Array, ...]:
        return tuple(map(operator.add, a, b))

    def products(number: ArrayLike) -> tuple[Array, ...]:
        first = number * at_once
        return functools.reduce(add, (row_products(first + n) for n in range(at_once)))

    # Sums that begin as zeros would be allocated from the beginning of the training step on.
    sums = lax.fori_loop(
        1, height // at_once, lambda number, sums: add(sums, products(number)), products(0)
    )
    return jnp.stack([jnp.sum(s, axis=(1, 2)) for s in sums], axis=1).reshape(shape)


def _sum_of_shifts(
    padded: Array, kernel: Array, begin: Sequence[int], stride: int, size: Sequence[int]
) -> Array:
    """The sum over taps of the windows of `size` from `begin`, each times its row of the kernel.

    [N, *size, C]; zeros without taps, which is where a stride skips pixels.
    """
    if 0 in kernel.shape:
        return jnp.zeros((len(padded), *size, padded.shape[-1]), padded.dtype)
    rows, columns = ((n - 1) * stride + 1 for n in size)
    windows = (
        padded[
            :,
            begin[0] + a : begin[0] + a + rows : stride,
            begin[1] + b : begin[1] + b + columns : stride,
        ]
        * kernel[a, b, 0]
        for a in range(kernel.shape[0])
        for b in range(kernel.shape[1])
    )
    return functools.reduce(operator.add, windows)


def pad(x: Array, pads: Sequence[tuple[int, int]]) -> Array:
    """Zeros around [N, H, W, C], computed once.

    Without the barrier, XLA would fuse what computes `x` into every shifted slice of it.
    """
    zero = jnp.zeros((), x.dtype)
    return lax.optimization_barrier(
        lax.pad(x, zero, ((0, 0, 0), (*pads[0], 0), (*pads[1], 0), (0, 0, 0)))
    )

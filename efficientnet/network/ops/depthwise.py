"""Depthwise convolution: one function, lowered by platform.

XLA on CPU runs a grouped convolution as scalar loops and differentiates it as a dense one, so there
the convolution is written as a sum of shifted, scaled slices, which fuse into one vectorized loop,
with gradients of the same kind. TPU and GPU have native depthwise convolutions; a GPU's would copy
its input for a stride.
"""

import functools
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.sharding import Mesh
from jax.typing import ArrayLike

from efficientnet.network.ops import depthwise_kernels
from efficientnet.network.ops.depthwise_lines import Pads as Pads


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


def depthwise_conv(
    x: Array, kernel: Array, stride: int, padding: str, own_kernels: Mesh | None = None
) -> Array:
    """Convolves each channel with its own kernel.

    Args:
      x: [N, H, W, C].
      kernel: [k, k, 1, C], float32 or of the dtype of `x`, in which it is computed.
      stride: in both directions.
      padding: 'same' or 'symmetric', see `explicit_padding`.
      own_kernels: with the devices among which N is divided, `depthwise_kernels` on NVIDIA GPUs.

    Returns:
      [N, H', W', C]. All lowerings agree to rounding, forward and both gradients.
    """
    if kernel.ndim != 4 or kernel.shape[2:] != (1, x.shape[-1]):
        raise ValueError(f"kernel is {kernel.shape}, expected (k, k, 1, {x.shape[-1]})")
    pads = explicit_padding(x.shape[1:3], kernel.shape[:2], stride, padding)
    cuda = {}
    if own_kernels is not None:
        cuda["cuda"] = lambda x, kernel: depthwise_kernels.depthwise_conv(
            x, kernel, stride, pads, own_kernels
        )
    return lax.platform_dependent(
        x,
        kernel,
        cpu=lambda x, kernel: shifted_products(x, kernel.astype(x.dtype), stride, pads),
        tpu=lambda x, kernel: for_tpu(x, kernel, stride, pads),
        default=lambda x, kernel: for_gpu(x, kernel, stride, pads),
        **cuda,
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


def for_gpu(x: Array, kernel: Array, stride: int, pads: Pads) -> Array:
    """XLA's convolution, except where it would store padded copies because of the stride."""
    convolution = native if stride == 1 else fused_shifts
    return convolution(x, kernel.astype(x.dtype), stride, pads)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def fused_shifts(x: Array, kernel: Array, stride: int, pads: Pads) -> Array:
    """The sum of shifted slices, in float32, with pads that XLA fuses into it.

    Only the kernel's gradient is XLA's convolution, of an input that was stored with its pads.
    """
    return _fused_forward(x, kernel, stride, pads)[0]


def _fused_forward(
    x: Array, kernel: Array, stride: int, pads: Pads
) -> tuple[Array, tuple[Array, Array]]:
    padded = pad(x, pads)
    size = _output_size(padded, kernel, stride)
    y = _sum_of_shifts(padded.astype(jnp.float32), kernel.astype(jnp.float32), (0, 0), stride, size)
    return lax.optimization_barrier(y.astype(x.dtype)), (padded, kernel)


def _fused_backward(
    stride: int, pads: Pads, residuals: tuple[Array, Array], grad: Array
) -> tuple[Array, Array]:
    padded, kernel = residuals
    grad = lax.optimization_barrier(grad)
    size, unpadded = padded.shape[1:3], ((0, 0), (0, 0))
    _, to_kernel = jax.vjp(lambda kernel: native(padded, kernel, stride, unpadded), kernel)
    zeros = _zeros_around(grad, kernel, size, stride, pads)
    around = jnp.pad(grad.astype(jnp.float32), ((0, 0), *zeros, (0, 0)))
    grad_x = _input_gradient(around, kernel.astype(jnp.float32), size, stride, pads)
    return lax.optimization_barrier(grad_x.astype(grad.dtype)), *to_kernel(grad)


fused_shifts.defvjp(_fused_forward, _fused_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def shifted_products(x: Array, kernel: Array, stride: int, pads: Pads) -> Array:
    """The same convolution as a sum over the kernel's taps of shifted slices times weights."""
    return _forward(x, kernel, stride, pads)[0]


def _forward(x: Array, kernel: Array, stride: int, pads: Pads) -> tuple[Array, tuple[Array, Array]]:
    padded = pad(x, pads)
    size = _output_size(padded, kernel, stride)
    return _sum_of_shifts(padded, kernel, (0, 0), stride, size), (padded, kernel)


def _output_size(padded: Array, kernel: Array, stride: int) -> tuple[int, ...]:
    sizes = zip(padded.shape[1:3], kernel.shape[:2], strict=True)
    return tuple((n - k) // stride + 1 for n, k in sizes)


def _backward(
    stride: int, pads: Pads, residuals: tuple[Array, Array], grad: Array
) -> tuple[Array, Array]:
    padded, kernel = residuals
    size = padded.shape[1:3]
    # As many zeros around the gradient as the input's gradient needs; the kernel's reads them too.
    zeros = _zeros_around(grad, kernel, size, stride, pads)
    around = pad(grad, zeros)
    corner = zeros[0][0], zeros[1][0]
    grad_kernel = _kernel_gradient(padded, around, corner, grad.shape[1:3], kernel.shape, stride)
    grad_x = _input_gradient(around, kernel, size, stride, pads)
    return grad_x, grad_kernel.astype(kernel.dtype)


shifted_products.defvjp(_forward, _backward)


def _rows_and_columns(size: Sequence[int], stride: int, pads: Pads) -> tuple[range, ...]:
    """Those of the input in its padded `size`, counted in strides.

    Padded row m * stride + p meets the taps p, p + stride, ... of the output rows m, m - 1, ...
    """
    return tuple(
        range(before // stride, -(-(n - after) // stride))
        for n, (before, after) in zip(size, pads, strict=True)
    )


def _zeros_around(
    grad: Array, kernel: Array, size: Sequence[int], stride: int, pads: Pads
) -> list[tuple[int, int]]:
    """Zeros around the output's gradient, from which that of the input is computed."""
    lines = _rows_and_columns(size, stride, pads)
    return [
        ((k - 1) // stride - line.start, max(line.stop - n, 0))
        for k, line, n in zip(kernel.shape[:2], lines, grad.shape[1:3], strict=True)
    ]


def _input_gradient(
    around: Array, kernel: Array, size: Sequence[int], stride: int, pads: Pads
) -> Array:
    """Each residue of rows and columns modulo the stride is a stride-1 convolution.

    Args:
      around: the output's gradient, with `_zeros_around` it.
      kernel: [k, k, 1, C].
      size: rows and columns of the padded input.
      stride: in both directions.
      pads: of the input.

    Returns:
      [N, H, W, C], without the pads.
    """
    lines = _rows_and_columns(size, stride, pads)
    height, width = map(len, lines)
    phases = []
    for p in range(stride):
        columns = []
        for q in range(stride):
            part = kernel[p::stride, q::stride][::-1, ::-1]
            begin = tuple(
                (k - 1) // stride + 1 - n
                for k, n in zip(kernel.shape[:2], part.shape[:2], strict=True)
            )
            columns.append(_sum_of_shifts(around, part, begin, 1, (height, width)))
        phases.append(columns)
    full = phases[0][0]
    if stride > 1:
        full = jnp.stack([jnp.stack(columns, axis=3) for columns in phases], axis=2)
        full = full.reshape(len(full), height * stride, width * stride, full.shape[-1])
    begins = (before - line.start * stride for (before, _), line in zip(pads, lines, strict=True))
    windows = (
        slice(begin, begin + n - sum(around))
        for begin, n, around in zip(begins, size, pads, strict=True)
    )
    return full[:, *windows]


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

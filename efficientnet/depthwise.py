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

    'same' is TensorFlow's SAME, one more zero after than before where the sum is odd;
    'symmetric' is k // 2 on each side, as PyTorch's models have it. Anything else: ValueError.
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
    """Convolves every channel with a kernel of its own.

    Args:
      x: [N, H, W, C].
      kernel: [k, k, 1, C], of the dtype of `x`.
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
        cpu=lambda x, kernel: shifted_products(x, kernel, stride, pads),
        tpu=lambda x, kernel: for_tpu(x, kernel, stride, pads),
        default=lambda x, kernel: native(x, kernel, stride, pads),
    )


def native(x: Array, kernel: Array, stride: int, pads: Pads) -> Array:
    """The grouped convolution of XLA."""
    return _convolve(x, kernel, stride, pads, groups=x.shape[-1])


def _convolve(x: Array, kernel: Array, stride: int, pads: Pads, groups: int) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        pads,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


# Channels of a block of the block-diagonal kernel, at most.
DENSE_CHANNELS = 32


def for_tpu(x: Array, kernel: Array, stride: int, pads: Pads) -> Array:
    """The cheapest form in the whole step, by the TPU compiler's estimates: docs/performance.md.

    The native one multiplies in the vector unit. With few channels, or where a stride leaves much
    of a large kernel's work out, a matrix unit is faster though most of its factors are zeros.
    """
    few = x.shape[-1] <= DENSE_CHANNELS
    strided = kernel.shape[0] == 5 and stride == 2 and x.shape[1] >= 56
    if x.dtype == jnp.bfloat16 and (few or strided):
        return block_diagonal(x, kernel, stride, pads)
    return native(x, kernel, stride, pads)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def block_diagonal(x: Array, kernel: Array, stride: int, pads: Pads) -> Array:
    """Few groups of many channels, with zeros between the channels; exact, as adding zeros is.

    The gradient of the kernel stays native: it would be that of all the zeros too.
    """
    return _blocks(x, kernel, stride, pads)


def _blocks(x: Array, kernel: Array, stride: int, pads: Pads) -> Array:
    channels = x.shape[-1]
    width = max(size for size in range(1, DENSE_CHANNELS + 1) if channels % size == 0)
    same = jnp.arange(width)[:, None] == jnp.arange(channels)[None, :] % width
    return _convolve(x, jnp.where(same, kernel, 0), stride, pads, channels // width)


def _block_diagonal_forward(
    x: Array, kernel: Array, stride: int, pads: Pads
) -> tuple[Array, tuple[Array, Array]]:
    return block_diagonal(x, kernel, stride, pads), (x, kernel)


def _block_diagonal_backward(
    stride: int, pads: Pads, residuals: tuple[Array, Array], grad: Array
) -> tuple[Array, Array]:
    x, kernel = residuals
    _, to_x = jax.vjp(lambda x: _blocks(x, kernel, stride, pads), x)
    _, to_kernel = jax.vjp(lambda kernel: native(x, kernel, stride, pads), kernel)
    return *to_x(grad), *to_kernel(grad)


block_diagonal.defvjp(_block_diagonal_forward, _block_diagonal_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def shifted_products(x: Array, kernel: Array, stride: int, pads: Pads) -> Array:
    """The same convolution as a sum over taps of shifted slices times one row of the kernel."""
    height, width = _output_size(x.shape, kernel.shape, stride, pads)
    padded = _pad(x, pads)
    return functools.reduce(
        operator.add,
        (
            _window(padded, a, b, stride, height, width) * kernel[a, b, 0]
            for a, b in _taps(kernel.shape)
        ),
    )


def _forward(x: Array, kernel: Array, stride: int, pads: Pads) -> tuple[Array, tuple[Array, Array]]:
    return shifted_products(x, kernel, stride, pads), (x, kernel)


def _backward(
    stride: int, pads: Pads, residuals: tuple[Array, Array], grad: Array
) -> tuple[Array, Array]:
    x, kernel = residuals
    return _input_gradient(grad, kernel, x.shape, stride, pads), _kernel_gradient(
        x, grad, kernel.shape, stride, pads
    ).astype(kernel.dtype)


shifted_products.defvjp(_forward, _backward)


def _input_gradient(
    grad: Array, kernel: Array, shape: Sequence[int], stride: int, pads: Pads
) -> Array:
    """Each residue of rows and columns modulo the stride is a stride-1 convolution of `grad`."""
    (top, _), (left, _) = pads
    rows, columns = -(-(shape[1] + top) // stride), -(-(shape[2] + left) // stride)
    phases = []
    for p in range(stride):
        line = []
        for q in range(stride):
            # Padded row m * stride + p meets taps p, p + stride, ...: tap p + stride * t of
            # output row m - t.
            part = kernel[p::stride, q::stride][::-1, ::-1]
            t_h, t_w = part.shape[:2]
            if t_h == 0 or t_w == 0:
                line.append(jnp.zeros((shape[0], rows, columns, shape[3]), grad.dtype))
                continue
            ends = (
                (t_h - 1, rows - grad.shape[1]),
                (t_w - 1, columns - grad.shape[2]),
            )
            line.append(shifted_products(grad, part, 1, ends))
        phases.append(line)
    if stride == 1:
        full = phases[0][0]
    else:
        full = jnp.stack([jnp.stack(line, axis=3) for line in phases], axis=2)
        full = full.reshape(shape[0], rows * stride, columns * stride, shape[3])
    return full[:, top : top + shape[1], left : left + shape[2]]


def _kernel_gradient(x: Array, grad: Array, shape: Sequence[int], stride: int, pads: Pads) -> Array:
    """Sums over rows first, elementwise, in one pass over `x` and `grad`.

    Reducing each tap's product at once would copy a shifted slice of the whole image per tap. The
    accumulators keep the axis of examples, so a batch sharded over devices stays where it is.
    """
    k_h, k_w = shape[:2]
    padded = _pad(x, pads)
    height, width = grad.shape[1:3]

    def products(row: ArrayLike) -> tuple[Array, ...]:
        above = lax.dynamic_slice_in_dim(padded, row * stride, k_h, axis=1)
        above = jnp.moveaxis(above, 1, 0).astype(jnp.float32)
        here = lax.dynamic_index_in_dim(grad, row, axis=1, keepdims=False).astype(jnp.float32)
        return tuple(
            above[:, :, b : b + (width - 1) * stride + 1 : stride] * here for b in range(k_w)
        )

    def add_row(row: Array, sums: tuple[Array, ...]) -> tuple[Array, ...]:
        return tuple(map(operator.add, sums, products(row)))

    # Zeros to begin with would be filled, copied and held from the step's beginning on.
    sums = lax.fori_loop(1, height, add_row, products(0))
    return jnp.stack([jnp.sum(s, axis=(1, 2)) for s in sums], axis=1).reshape(shape)


def _taps(shape: Sequence[int]) -> list[tuple[int, int]]:
    return [(a, b) for a in range(shape[0]) for b in range(shape[1])]


def _pad(x: Array, pads: Pads) -> Array:
    # lax.pad takes negative amounts too, which crop.
    return lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), (*pads[0], 0), (*pads[1], 0), (0, 0, 0)))


def _window(padded: Array, a: int, b: int, stride: int, height: int, width: int) -> Array:
    return padded[
        :, a : a + (height - 1) * stride + 1 : stride, b : b + (width - 1) * stride + 1 : stride
    ]


def _output_size(
    shape: Sequence[int], kernel_shape: Sequence[int], stride: int, pads: Pads
) -> tuple[int, int]:
    height, width = (
        (n + sum(pad) - k) // stride + 1
        for n, k, pad in zip(shape[1:3], kernel_shape[:2], pads, strict=True)
    )
    return height, width

"""Depthwise convolution as kernels for NVIDIA GPUs, written in Pallas for Triton.

A program computes a few channels of a few columns of an image and walks down the rows. It loads
each row once for every column of the convolution's kernel, first from memory and then from the
cache, and adds it to all rows of the result that need it, which stay in registers. Zeros around the
image, or between its pixels in the gradient of a stride, are never stored. Sums are in float32 and
always in the same order.
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jax.sharding import Mesh, PartitionSpec
from jax.typing import ArrayLike

from efficientnet.network.ops.depthwise_lines import Line, Pads, lines

Sums = dict[tuple[int, int], Array]  # by members of the result's rows and columns, or by taps

# Of the GPU: XLA compiles Triton for no older one, such as T4.
COMPUTE_CAPABILITY = 8.0
# A program's columns. Its neighbors read k - 1 of them again; more would be left over at 14 and 7.
COLUMNS = 8
# A program's channels, whichever leaves fewer over: in bfloat16, 128 or 64 consecutive bytes.
CHANNELS = (64, 32)
# Rows whose loads are issued together, so that enough bytes are on their way.
ROWS = 2
# Rows of the output's gradient, of one image or several, that a program adds up for the kernel's:
# enough for few partial sums, and few enough for several programs on each multiprocessor.
SUMMED_ROWS = 64


def instead(devices: Sequence[jax.Device]) -> str:
    """Returns what to choose on devices that can't run these kernels; '' on all others."""
    for device in devices:
        if float(getattr(device, "compute_capability", None) or math.inf) < COMPUTE_CAPABILITY:
            return (
                f"'xla' on {device.device_kind}, as Triton needs compute capability "
                f"{COMPUTE_CAPABILITY} or later"
            )
    return ""


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4, 5))
def depthwise_conv(
    x: Array, kernel: Array, stride: int, pads: Pads, mesh: Mesh, interpret: bool = False
) -> Array:
    """Convolves each channel with its own kernel, on each device its own examples.

    Args:
      x: [N, H, W, C], bfloat16 or float32; N must be a multiple of the number of devices.
      kernel: [k, k, 1, C], which is rounded to the dtype of `x`; the gradient is not.
      stride: in both directions.
      pads: zeros around the image.
      mesh: the devices, on one axis.
      interpret: compute on any device, slowly.

    Returns:
      [N, H', W', C], in the dtype of `x`.
    """
    rows, columns = lines(x, kernel, stride, pads)
    walk = functools.partial(_walk, rows, columns, interpret)
    return _by_example(walk, mesh)(x, kernel.astype(x.dtype))


def _forward(x: Array, kernel: Array, *how: Any) -> tuple[Array, tuple[Array, Array]]:
    return depthwise_conv(x, kernel, *how), (x, kernel)


def _backward(
    stride: int,
    pads: Pads,
    mesh: Mesh,
    interpret: bool,
    residuals: tuple[Array, Array],
    grad: Array,
) -> tuple[Array, Array]:
    x, kernel = residuals
    rows, columns = lines(x, kernel, stride, pads)
    walk = functools.partial(_walk, rows.reversed(), columns.reversed(), interpret)
    grad_x = _by_example(walk, mesh)(grad, kernel.astype(x.dtype))

    def summed(x: Array, grad: Array) -> Array:
        return lax.psum(_kernel_gradient(rows, columns, interpret, x, grad), mesh.axis_names)

    examples = PartitionSpec(mesh.axis_names)
    grad_kernel = jax.shard_map(
        summed, mesh=mesh, in_specs=(examples, examples), out_specs=PartitionSpec(), check_vma=False
    )(x, grad)
    return grad_x, grad_kernel.astype(kernel.dtype)


depthwise_conv.defvjp(_forward, _backward)


def _by_example(function: Callable[..., Array], mesh: Mesh) -> Callable[..., Array]:
    """Maps a function of examples and a kernel over the devices, which XLA can't do by itself."""
    examples = PartitionSpec(mesh.axis_names)
    return jax.shard_map(
        function,
        mesh=mesh,
        in_specs=(examples, PartitionSpec()),
        out_specs=examples,
        check_vma=False,
    )


class _Tile:
    """The columns and channels of one program, as blocks [COLUMNS, channels].

    Threads load consecutive channels of one column. They keep the weights of these channels and the
    sums of unfinished rows in registers, so that they have fewer channels if there are more taps.
    """

    def __init__(self, columns: Line, channels: int, interpret: bool) -> None:
        self._columns = columns
        self._interpret = interpret
        self._all_channels = channels
        self.channels = min(CHANNELS, key=lambda size: pl.cdiv(channels, size) * size)
        of_thread = 4 if columns.taps <= 3 else 2
        # Without pipelining, which would send loads through shared memory.
        self.params = triton.CompilerParams(
            num_warps=COLUMNS * self.channels // (32 * of_thread), num_stages=1
        )

    def grid(self, last: int) -> tuple[int, int, int]:
        """Blocks of channels, blocks of columns, and `last`: neighbors in memory run together."""
        blocks = len(self._columns.result_groups)
        return pl.cdiv(self._all_channels, self.channels), pl.cdiv(blocks, COLUMNS), last

    def enter(self) -> None:
        """Computes where this program is; to be called in a kernel."""
        first = pl.program_id(0) * self.channels
        self.channel_line = first + jnp.arange(self.channels, dtype=jnp.int32)
        self.exists_line = self.channel_line < self._all_channels
        self.channel = self._spread(self.channel_line, 1)
        self.exists = self._spread(self.exists_line, 1)
        first = self._columns.result_groups.start + pl.program_id(1) * COLUMNS
        self._group = first + jnp.arange(COLUMNS, dtype=jnp.int32)

    def source_columns(self) -> dict[tuple[int, int], tuple[Array, Array]]:
        """By (j, member), those which the taps meet, and a mask of those that exist."""
        return {
            (j, member): self._masked(*self._columns.position(self._group + j, member))
            for j, member, *_ in self._columns.uses
        }

    def result_columns(self) -> list[tuple[Array, Array]]:
        """By member, those of the result, and a mask of those that exist."""
        found = []
        for member in range(self._columns.result_members):
            column, exists = self._columns.result_position(self._group, member)
            # To the interpreter, a negative one is another column, which it would write twice.
            column = jnp.where(exists, column, np.int32(self._columns.result_size))
            found.append(self._masked(column, exists))
        return found

    def zeros(self) -> Array:
        """A sum of nothing."""
        return jnp.zeros((COLUMNS, self.channels), jnp.float32)

    def multiply_add(self, a: Array, b: Array, c: Array) -> Array:
        """a * b + c in one instruction, which the compiler would not make of two."""
        if self._interpret:
            return a * b + c
        (result,) = triton.elementwise_inline_asm(
            "fma.rn.f32 $0, $1, $2, $3;",
            args=[a, b, c],
            constraints="=f,f,f,f",
            pack=1,
            result_shape_dtypes=[jax.ShapeDtypeStruct(c.shape, c.dtype)],
        )
        return result

    def _masked(self, column: Array, exists: Array) -> tuple[Array, Array]:
        return self._spread(column, 0), self._spread(exists, 0) & self.exists

    def _spread(self, vector: Array, axis: int) -> Array:
        return lax.broadcast_in_dim(vector, (COLUMNS, self.channels), (axis,))


def _walk(rows: Line, columns: Line, interpret: bool, x: Array, kernel: Array) -> Array:
    """The convolution, or the gradient of its input: a source [N, H, W, C] to a result."""
    n, _, _, channels = x.shape
    tile = _Tile(columns, channels, interpret)
    return pl.pallas_call(
        functools.partial(_walk_kernel, rows, columns, tile),
        out_shape=jax.ShapeDtypeStruct(
            (n, rows.result_size, columns.result_size, channels), x.dtype
        ),
        grid=tile.grid(n),
        compiler_params=tile.params,
        interpret=interpret,
        name="depthwise",
    )(x, kernel)


def _walk_kernel(
    rows: Line, columns: Line, tile: _Tile, x_ref: Any, kernel_ref: Any, y_ref: Any
) -> None:
    tile.enter()
    image = pl.program_id(2)
    source, result = tile.source_columns(), tile.result_columns()
    uses = tuple(itertools.product(rows.uses, columns.uses))
    weights = {
        (a, b): triton.load(
            kernel_ref.at[a, b, 0, tile.channel], mask=tile.exists, other=0.0
        ).astype(jnp.float32)
        for (*_, a), (*_, b) in uses
    }

    def load(group: ArrayLike) -> dict[tuple[int, ...], Array]:
        """A group of rows, by (member, j and member of the columns)."""
        loaded: dict[tuple[int, ...], Array] = {}
        for member in range(rows.members):
            row, exists = rows.position(group, member)
            for where, (column, mask) in source.items():
                place = x_ref.at[image, row, column, tile.channel]
                loaded[member, *where] = triton.load(place, mask=mask & exists, other=0.0)
        return loaded

    def store(group: ArrayLike, finished: Sums) -> None:
        for (member, other), block in finished.items():
            row, exists = rows.result_position(group, member)
            column, mask = result[other]
            place = y_ref.at[image, row, column, tile.channel]
            triton.store(place, block.astype(y_ref.dtype), mask=mask & exists)

    def add(values: dict[tuple[int, ...], Array], sums: Sums, distance: int) -> Sums:
        """Adds a group of rows to the sums of the result's group that is so far before it."""
        sums = dict(sums)
        for (j, member, other, a), (*where, other_column, b) in uses:
            if j == distance:
                value = values[member, *where].astype(jnp.float32)
                here = other, other_column
                sums[here] = tile.multiply_add(value, weights[a, b], sums[here])
        return sums

    nothing = {
        key: tile.zeros()
        for key in itertools.product(range(rows.result_members), range(columns.result_members))
    }
    reach, groups = rows.reach, rows.result_groups
    # The groups of rows that exist and are needed.
    begin = min(max(rows.groups.start, groups.start), groups.start + reach - 1)
    end = min(rows.groups.stop, groups.stop + reach - 1)

    def step(trip: ArrayLike, unfinished: tuple[Sums, ...]) -> tuple[Sums, ...]:
        first = begin + trip * ROWS
        loaded = [load(first + n) for n in range(ROWS)]
        for n, values in enumerate(loaded):
            sums = tuple(add(values, old, j) for j, old in enumerate((nothing, *unfinished)))
            store(first + n - (reach - 1), sums[-1])
            unfinished = sums[:-1]
        return unfinished

    trips = pl.cdiv(end - begin, ROWS)
    unfinished = lax.fori_loop(0, trips, step, (nothing,) * (reach - 1))
    next_group = begin + trips * ROWS
    for group in range(next_group - (reach - 1), groups.stop):
        distance = next_group - group
        store(group, unfinished[distance - 1] if distance > 0 else nothing)


def _kernel_gradient(rows: Line, columns: Line, interpret: bool, x: Array, grad: Array) -> Array:
    """The gradient of the kernel, float32 [k, k, 1, C], from input and output gradient."""
    n, _, _, channels = x.shape
    tile = _Tile(columns, channels, interpret)
    images = max(SUMMED_ROWS // rows.result_size, 1)
    grid = tile.grid(pl.cdiv(n, images))
    shape = (grid[2], grid[1], rows.taps, columns.taps, channels)
    parts = pl.pallas_call(
        functools.partial(_kernel_gradient_kernel, rows, columns, tile, images),
        out_shape=jax.ShapeDtypeStruct(shape, jnp.float32),
        grid=grid,
        compiler_params=tile.params,
        interpret=interpret,
        name="depthwise_kernel_gradient",
    )(x, grad)
    return jnp.sum(parts, (0, 1))[:, :, None]


def _kernel_gradient_kernel(
    rows: Line, columns: Line, tile: _Tile, images: int, x_ref: Any, grad_ref: Any, parts_ref: Any
) -> None:
    tile.enter()
    source, (result,) = tile.source_columns(), tile.result_columns()
    uses = tuple(itertools.product(rows.uses, columns.uses))
    begin = rows.groups.start
    trips = pl.cdiv(min(rows.groups.stop, rows.result_size + rows.reach - 1) - begin, ROWS)

    def load(
        ref: Any, image: Array, row: tuple[Array, Array], column: tuple[Array, Array]
    ) -> Array:
        mask = column[1] & (row[1] & (image < x_ref.shape[0]))
        place = ref.at[image, row[0], column[0], tile.channel]
        return triton.load(place, mask=mask, other=0.0).astype(jnp.float32)

    def load_grad(image: Array, group: ArrayLike) -> Array:
        return load(grad_ref, image, rows.result_position(group, 0), result)

    def load_source(image: Array, group: ArrayLike) -> dict[tuple[int, ...], Array]:
        return {
            (member, *where): load(x_ref, image, rows.position(group, member), column)
            for member in range(rows.members)
            for where, column in source.items()
        }

    first_image = pl.program_id(2) * images

    def add_image(number: ArrayLike, sums: Sums) -> Sums:
        image = first_image + number

        def step(
            trip: ArrayLike, carry: tuple[tuple[Array, ...], Sums]
        ) -> tuple[tuple[Array, ...], Sums]:
            before, sums = carry
            first = begin + trip * ROWS
            groups = [first + n for n in range(ROWS)]
            loaded = [(load_source(image, group), load_grad(image, group)) for group in groups]
            for values, grad in loaded:
                grads = (grad, *before)
                sums = {
                    (a, b): tile.multiply_add(values[member, *where], grads[j], sums[a, b])
                    for (j, member, _, a), (*where, _, b) in uses
                }
                before = grads[:-1]
            return before, sums

        before = tuple(load_grad(image, begin - 1 - n) for n in range(rows.reach - 1))
        return lax.fori_loop(0, trips, step, (before, sums))[1]

    nothing = {(a, b): tile.zeros() for (*_, a), (*_, b) in uses}
    for (a, b), block in lax.fori_loop(0, images, add_image, nothing).items():
        place = parts_ref.at[pl.program_id(2), pl.program_id(1), a, b, tile.channel_line]
        triton.store(place, jnp.sum(block, 0), mask=tile.exists_line)

"""The depthwise convolutions of a network alone: XLA's, and our kernels for GPUs."""

import functools
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from benchmarks.rates.workload import Setting
from efficientnet.network import architecture
from efficientnet.network.ops import depthwise, depthwise_kernels
from efficientnet.network.variants import get_variant
from efficientnet.runtime import devices

# In one program, so that what it costs to start one does not count.
REPEATS = 20
TURNS = 5
COPIED_BYTES = 2**29  # more than a GPU's cache

Convolution = Callable[[Array, Array], Array]


class Layer(NamedTuple):
    """A depthwise convolution."""

    size: int  # rows and columns of the input
    channels: int
    kernel: int
    stride: int

    def __str__(self) -> str:
        stride = f" s{self.stride}" if self.stride > 1 else ""
        return f"{self.size}x{self.size}x{self.channels} k{self.kernel}{stride}"


class Times(NamedTuple):
    """Milliseconds of what a layer computes in training."""

    forward: float
    input_gradient: float
    kernel_gradient: float

    def __str__(self) -> str:
        return " / ".join(f"{milliseconds:.3f}" for milliseconds in self)


class Result(NamedTuple):
    """What was measured of a layer."""

    layer: Layer
    ours: Times
    xla: Times
    floor: float  # ms to read and write the input and the output once, as fast as a copy does
    difference: float  # the largest between the two, as a part of the largest value of an array


def layers(variant: str, resolution: int) -> list[Layer]:
    """The depthwise convolutions of a variant, each once, in their order."""
    network = architecture.build(get_variant(variant), 3)
    size, found = -(-resolution // network.stem.stride), []
    for block in network.blocks:
        for conv in block.layers:
            if isinstance(conv, architecture.Conv) and conv.depthwise:
                found.append(Layer(size, conv.filters, conv.kernel, conv.stride))
                size = -(-size // conv.stride)
    return list(dict.fromkeys(found))


def measure(setting: Setting, small: bool) -> list[Result]:
    """Measures every layer; or, `small`, two of them a single time, to try it."""
    repeats = 1 if small else REPEATS
    copied = jnp.zeros(2**19 if small else COPIED_BYTES, jnp.uint8)
    per_millisecond = 2 * copied.nbytes / _milliseconds(jnp.bitwise_not, (copied,), repeats)
    chosen = layers(setting.variant, setting.resolution)[: 2 if small else None]
    return [_measure(layer, setting, per_millisecond, repeats) for layer in chosen]


def _measure(layer: Layer, setting: Setting, bytes_per_millisecond: float, repeats: int) -> Result:
    size, channels, k, stride = layer
    pads = depthwise.explicit_padding((size, size), (k, k), stride, "same")
    rng = np.random.default_rng(0)

    def random(*shape: int) -> Array:
        return jnp.asarray(rng.standard_normal(shape, np.float32))

    x = random(setting.batch, size, size, channels).astype(setting.dtype)
    kernel = random(k, k, 1, channels)
    xla = functools.partial(depthwise.depthwise_conv, stride=stride, padding="same")
    own = functools.partial(
        depthwise_kernels.depthwise_conv,
        stride=stride,
        pads=pads,
        mesh=jax.sharding.Mesh(np.asarray(jax.devices()[:1]), ("data",)),
        interpret=jax.default_backend() == "cpu",
    )
    y = jax.eval_shape(xla, x, kernel)
    arguments = (x, kernel, random(*y.shape).astype(y.dtype))
    found = [_passes(convolution) for convolution in (own, xla)]
    own_times, xla_times = (
        Times(*(_milliseconds(each, arguments, repeats) for each in passes)) for passes in found
    )
    differences = [
        _difference(mine(*arguments), theirs(*arguments))
        for mine, theirs in zip(*found, strict=True)
    ]
    floor = (x.nbytes + y.size * y.dtype.itemsize) / bytes_per_millisecond
    return Result(layer, own_times, xla_times, floor, max(differences))


def _passes(convolution: Convolution) -> list[Callable[..., Array]]:
    """The convolution and its gradients, each of (x, kernel, output's gradient)."""
    return [
        jax.jit(lambda x, kernel, grad: convolution(x, kernel)),
        jax.jit(lambda x, kernel, grad: jax.vjp(lambda x: convolution(x, kernel), x)[1](grad)[0]),
        jax.jit(lambda x, kernel, grad: jax.vjp(lambda w: convolution(x, w), kernel)[1](grad)[0]),
    ]


def _milliseconds(
    function: Callable[..., Array], arguments: tuple[Array, ...], repeats: int
) -> float:
    """The median time of a computation that a program repeats."""

    def repeated(*arguments: Array) -> Array:
        result = function(*arguments)
        for _ in range(repeats - 1):
            # As if it needed the last result, or it would be computed once for all.
            arguments, _ = lax.optimization_barrier((arguments, result))
            result = function(*arguments)
        return result

    options: dict[str, Any] = devices.compiler_options(jax.default_backend(), deterministic=True)
    program = jax.jit(repeated, compiler_options=options).lower(*arguments).compile()
    jax.block_until_ready(program(*arguments))
    times = []
    for _ in range(TURNS):
        begin = time.perf_counter()
        jax.block_until_ready(program(*arguments))
        times.append((time.perf_counter() - begin) / repeats * 1e3)
    return statistics.median(times)


def _difference(mine: Array, theirs: Array) -> float:
    mine, theirs = mine.astype(jnp.float32), theirs.astype(jnp.float32)
    return float(jnp.max(jnp.abs(mine - theirs)) / jnp.max(jnp.abs(theirs)))

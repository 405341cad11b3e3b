"""Whether a device computes what the CPU does, and the same again after a restart."""

import dataclasses
import importlib.metadata
import pathlib
import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.rates import ours
from benchmarks.rates.workload import CLASSES, Setting
from efficientnet.config import Dtype, StageConfig
from efficientnet.inference.explain import grad_cam
from efficientnet.inference.loading import load
from efficientnet.inference.network import Network
from efficientnet.network.freeze_groups import GROUPS
from efficientnet.network.model import EfficientNet, init_variables
from efficientnet.network.ops.batch_norm import BatchNorm
from efficientnet.network.variants import Variant, get_variant
from efficientnet.runtime import compilation_cache, devices
from efficientnet.weights.conventions import MEAN_STD

# One block of each stage and a quarter of the channels: quick to compile, with all operations.
SMALL = Variant(width=0.25, depth=0.3, resolution=32, dropout=0.2)
PACKAGES = ("jax", "jaxlib", "flax", "numpy")
STEPS = 5
IMAGES = 8


def machine() -> dict[str, Any]:
    """Returns the device's name and the versions that results depend on."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    device = jax.devices()[0]
    platform = device.client.platform_version.splitlines()[0]
    return {"device": device.device_kind, "platform": platform, **versions}


def platforms(weights: str, small: bool) -> dict[str, Any]:
    """Compares a float32 network on the first device with the same one on the CPU.

    Args:
      weights: a name or a path, see `efficientnet.load`; '' for random ones.
      small: whether a small network will do, in place of B0 with random weights.

    Returns:
      The largest 'differences': of logits, of Grad-CAM's maps as a part of their largest value, and
      of gradients as a part of the largest in their array; and the 'largest_logit'.
    """
    network = load(weights) if weights else _random(SMALL if small else get_variant("b0"))
    rng = np.random.default_rng(0)
    side = network.resolution
    coarse = rng.integers(0, 256, (IMAGES, side // 8 + 1, side // 8 + 1, network.channels))
    images = coarse.repeat(8, axis=1).repeat(8, axis=2)[:, :side, :side].astype(np.uint8)

    def compute(variables: Any, images: jax.Array) -> tuple[Any, ...]:
        logits, maps = grad_cam(dataclasses.replace(network, variables=variables), images)

        def mean_square(params: Any) -> jax.Array:
            moved = {**variables, "params": params}
            found = network.module.apply(moved, network.preprocess(images))
            return jnp.mean(jnp.square(jnp.asarray(found)))

        with network.module.in_precision():
            return logits, maps, jax.grad(mean_square)(variables["params"])

    found, expected = (
        jax.device_get(jax.jit(compute)(*jax.device_put((network.variables, images), device)))
        for device in (jax.devices()[0], jax.devices("cpu")[0])
    )

    def largest(result: Any, reference: Any) -> float:
        """Of the differences in an array, as a part of its largest value."""
        scale = max(np.abs(reference).max(), 1e-30)
        return float(np.abs(result - reference).max() / scale)

    gradients = zip(*(jax.tree.leaves(result[2]) for result in (found, expected)), strict=True)
    return {
        "differences": {
            "logits": float(np.abs(found[0] - expected[0]).max()),
            "Grad-CAM": largest(found[1], expected[1]),
            "gradients": max(largest(*pair) for pair in gradients),
        },
        "largest_logit": float(np.abs(expected[0]).max()),
    }


def train(
    small: bool, begin: pathlib.Path | None, end: pathlib.Path | None, count: int
) -> dict[str, int]:
    """Trains for some steps and returns a checksum of each array of the state.

    No compilation cache is enabled here, so that a new process compiles as on another machine.

    Args:
      small: whether a small network will do, in place of B0 with batches of 32 at 224 pixels.
      begin: file to go on from; None begins with random weights.
      end: file to write the state to.
      count: number of steps.
    """
    variant = SMALL if small else get_variant("b0")
    dtype: Dtype = "float32" if small else "bfloat16"  # which takes minutes to compile for a CPU
    setting = Setting("b0", 32, variant.resolution, dtype, "trained")
    stage = StageConfig("all", "all", epochs=1, learning_rate=1e-3, batch_norm="trained")
    plain, state = ours.untrained(EfficientNet(variant, CLASSES, dtype=jnp.dtype(dtype)), stage)
    step = devices.jit(plain, devices.data_mesh())
    leaves, structure = jax.tree.flatten(state)
    if begin:
        with np.load(begin) as saved:
            state = jax.tree.unflatten(structure, [saved[f"arr_{n}"] for n in range(len(leaves))])
    batch = ours.random_batch(setting)
    for _ in range(count):
        state, _ = step(state, batch)
    leaves = jax.device_get(jax.tree.leaves(state))
    if end:
        np.savez(end, *leaves)
    named = jax.tree_util.tree_leaves_with_path(jax.tree.unflatten(structure, leaves))
    return {
        jax.tree_util.keystr(path): zlib.crc32(np.ascontiguousarray(leaf).tobytes())
        for path, leaf in named
    }


def first_step(small: bool, cache: str) -> None:
    """Trains for a step, with compiled programs kept in a folder as `compilation_cache` does."""
    jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update(
        "jax_persistent_cache_min_compile_time_secs", compilation_cache.MIN_COMPILE_SECONDS
    )
    train(small, None, None, 1)


def _random(variant: Variant) -> Network:
    """Returns a network with random weights, and the statistics of noise in its BatchNorms."""
    module = EfficientNet(variant, CLASSES)
    variables = init_variables(module, jax.random.key(0))
    noise = jax.random.normal(
        jax.random.key(1), (IMAGES, variant.resolution, variant.resolution, 3)
    )
    _, found = module.apply(variables, noise, batch_norm_groups=GROUPS, mutable=["batch_stats"])
    keep = BatchNorm.momentum
    batch_stats = jax.tree.map(
        lambda new, old: (new - keep * old) / (1 - keep),
        found["batch_stats"],
        variables["batch_stats"],
    )
    names = tuple(map(str, range(CLASSES)))
    network = {"params": variables["params"], "batch_stats": batch_stats}
    return Network(module, network, MEAN_STD, names, variant.resolution, "resize")

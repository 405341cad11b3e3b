"""This project's own steps, as the trainer compiles them."""

import dataclasses
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.rates.costliest import costliest
from benchmarks.rates.workload import CLASSES, Setting, Workload, repeated
from efficientnet.config import BatchNormPolicy, StageConfig
from efficientnet.network.model import EfficientNet, init_variables
from efficientnet.network.variants import get_variant
from efficientnet.runtime import compilation_cache, devices
from efficientnet.runtime.huge_pages import release_free_memory
from efficientnet.training import losses, optim, steps
from efficientnet.weights.conventions import MEAN_STD

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")
# What the measured stages train; all else is the same.
TRAINS = {"head": "predictions", "blocks67": "block6-", "all": "all"}


class Compiled(NamedTuple):
    """A compiled step."""

    step: Callable[[], jax.Array]  # runs it on the next state; returns something to wait for
    executable: Any  # jax.stages.Compiled


def train(setting: Setting, trains: str, profile: bool = False, **instead: Any) -> Workload:
    """The training step of a stage.

    Args:
      setting: what the contenders have in common.
      trains: a key of `TRAINS`.
      profile: whether to report its most expensive operations.
      **instead: fields of the setting that are different here.
    """
    if not profile:  # cached code may have other names of layers
        compilation_cache.enable()
    setting = dataclasses.replace(setting, **instead)
    return _workload(setting, train_step(setting, trains), profile)


def infer(setting: Setting, **instead: Any) -> Workload:
    """The evaluation step, with fields of the setting that are different here."""
    compilation_cache.enable()
    setting = dataclasses.replace(setting, **instead)
    return _workload(setting, eval_step(setting))


def train_step(setting: Setting, trains: str) -> Compiled:
    """Compiles the training step of a stage, a key of `TRAINS`."""
    mesh = devices.data_mesh()
    network = _network(setting).clone(
        own_kernels=mesh if setting.depthwise_kernels == "pallas" else None
    )
    step, state = untrained(network, recipe(trains, setting.batch_norm))
    state = devices.place(state, mesh)
    (batch,) = devices.to_devices([random_batch(setting)], mesh)
    program = devices.jit(step, mesh, deterministic=setting.deterministic, donate_argnums=0)
    compiled = program.lower(state, batch, 1.0).compile()

    def run() -> jax.Array:
        nonlocal state
        state, loss = compiled(state, batch, 1.0)
        return loss

    return Compiled(run, compiled)


def untrained(
    network: EfficientNet, stage: StageConfig
) -> tuple[Callable[..., tuple[steps.TrainState, jax.Array]], steps.TrainState]:
    """Returns the training step of a stage, not compiled, and its first state: random weights."""
    schedule = optim.make_schedule(stage, steps=1000, steps_per_epoch=1000)
    optimizer = optim.make_optimizer(stage, schedule, network.variant)
    step = steps.make_train_step(
        network,
        stage,
        optimizer,
        mean=np.asarray(MEAN_STD.mean, np.float32),
        std=np.asarray(MEAN_STD.std, np.float32),
        rng=jax.random.key(0),
    )
    variables = init_variables(network, jax.random.key(0))
    return step, steps.initial_state(variables, stage, optimizer)


def eval_step(setting: Setting) -> Compiled:
    """Compiles the evaluation step."""
    network = _network(setting)
    mesh = devices.data_mesh()
    program = steps.make_eval_step(
        network,
        mesh,
        mean=np.asarray(MEAN_STD.mean, np.float32),
        std=np.asarray(MEAN_STD.std, np.float32),
        deterministic=setting.deterministic,
    )
    variables = devices.place(init_variables(network, jax.random.key(0)), mesh)
    counted = devices.place(losses.BatchMetrics.empty(), mesh)
    (batch,) = devices.to_devices([random_batch(setting)], mesh)
    compiled = program.lower(variables, counted, batch).compile()

    def run() -> jax.Array:
        nonlocal counted
        counted = compiled(variables, counted, batch).metrics
        return jax.tree.leaves(counted)[0]

    return Compiled(run, compiled)


def recipe(trains: str, batch_norm: BatchNormPolicy) -> StageConfig:
    """The measured stage: SGD with momentum and label smoothing, as in the other libraries."""
    return StageConfig(
        trains, TRAINS[trains], epochs=1, optimizer="sgd", learning_rate=1e-4, batch_norm=batch_norm
    )


def random_batch(setting: Setting) -> dict[str, np.ndarray]:
    """A batch of noise in the form of the input pipeline's."""
    rng = np.random.default_rng(0)
    size = setting.batch
    shape = (size, setting.resolution, setting.resolution, 3)
    return {
        "image": rng.integers(0, 256, shape, np.uint8),
        "label": rng.integers(0, CLASSES, size, np.int32),
        "mask": np.ones(size, bool),
        "index": np.arange(size),
    }


def device_facts() -> dict[str, Any]:
    """Returns the name of the device, and the peak of its memory where it has its own."""
    device = jax.devices()[0]
    memory = device.memory_stats() or {}
    peak = memory.get("peak_bytes_in_use")
    return {
        "device": device.device_kind,
        **({} if peak is None else {"peak_device_memory_mb": round(peak / 1e6, 1)}),
    }


def threads() -> int:
    """The number of threads that XLA uses."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _network(setting: Setting) -> EfficientNet:
    return EfficientNet(
        get_variant(setting.variant),
        CLASSES,
        dtype=jnp.dtype(setting.dtype),
        matmul_precision=setting.matmul_precision,
    )


def _workload(setting: Setting, compiled: Compiled, profile: bool = False) -> Workload:
    def step() -> None:
        jax.block_until_ready(compiled.step())

    executable = compiled.executable
    release_free_memory()  # as the trainer does
    run = repeated(step, setting.batch)
    facts: dict[str, Any] = {
        **device_facts(),
        "temporary_memory_mb": round(executable.memory_analysis().temp_size_in_bytes / 1e6, 1),
    }
    if profile:
        facts["costliest"] = costliest(step, executable.as_text())
    return Workload(run, PACKAGES, threads(), facts)

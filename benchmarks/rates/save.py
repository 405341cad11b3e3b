"""The cost of a checkpoint, from the call until it is on the disk."""

import logging
import statistics
import tempfile
import time
from typing import Any

import jax
import numpy as np
from etils import epath

from benchmarks.rates.workload import CLASSES, Setting
from efficientnet.config import RunConfig, StageConfig
from efficientnet.network.model import EfficientNet, init_variables
from efficientnet.network.variants import get_variant
from efficientnet.records import Progress
from efficientnet.runtime import devices
from efficientnet.training import optim, steps
from efficientnet.training.checkpoints import Checkpoints


def save(setting: Setting, rounds: int) -> dict[str, Any]:
    """Saves the state of a stage that trains everything with AdamW.

    Training continues while a checkpoint is written: it loses at least `blocking_seconds`, for
    which it waits, and at most `seconds`, which are `share` of the default interval.

    Returns:
      Medians over the rounds, and the state's size.
    """
    logging.getLogger("absl").setLevel(logging.WARNING)
    stage = StageConfig("all", train="all", epochs=1)
    variant = get_variant(setting.variant)
    transformation = optim.make_optimizer(stage, lambda _: stage.peak_rate, variant)
    variables = init_variables(EfficientNet(variant, CLASSES), jax.random.key(0))
    state = steps.initial_state(variables, stage, transformation)
    state = jax.block_until_ready(devices.place(state, devices.data_mesh()))
    blocking, whole = [], []
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        checkpoints = Checkpoints(epath.Path(folder), RunConfig.keep_checkpoints)
        checkpoints.resume()
        for step in range(rounds + 1):
            begin = time.perf_counter()
            checkpoints.save_latest(step, state, Progress())
            called = time.perf_counter()
            checkpoints.wait()
            blocking.append(called - begin)
            whole.append(time.perf_counter() - begin)
        checkpoints.close()
    # The first one makes folders and threads.
    seconds = statistics.median(whole[1:])
    size = sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(state))
    return {
        "seconds": round(seconds, 3),
        "blocking_seconds": round(statistics.median(blocking[1:]), 3),
        "megabytes": round(size / 1e6, 1),
        "share": round(seconds / (60 * RunConfig.checkpoint_every_minutes), 5),
    }

"""One process of a run on tiny data: process.py WORKDIR DEVICES [COORDINATOR PROCESSES NUMBER]."""

import logging
import os
import sys

import jax
import tiny

from configs import common
from efficientnet.errors import UserError
from efficientnet.network.variants import VARIANTS
from efficientnet.runtime import distributed
from efficientnet.runtime.preemption import STOPPED, Stopped, end_at_once
from efficientnet.training.run import run
from input_pipeline.sources import SOURCES

if __name__ == "__main__":
    workdir, devices, *others = sys.argv[1:]
    logging.basicConfig(level=logging.WARNING, format="%(message)s", force=True)
    logging.getLogger("efficientnet").setLevel(logging.INFO)
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", int(devices))
    try:
        if others:
            distributed.start(others[0], int(others[1]), int(others[2]))
        VARIANTS["tiny"], SOURCES["tiny"] = tiny.VARIANT, tiny.tiny_source
        stages = (
            common.stage("head", train="predictions", epochs=1, learning_rate=1e-2),
            common.stage("late", train="block6-", epochs=6, ema_decay=0.9),
        )
        config = tiny.tiny_recipe(*stages)
        config.checkpoint_every_steps = 2
        config.log_every_steps = 1
        config.trackers = tuple(os.environ.get("TRACKERS", "").split())
        run(common.parse(config), workdir)
    except UserError as error:
        end_at_once(1, f"error: {error}")
    except Stopped as stopped:
        end_at_once(STOPPED, str(stopped))

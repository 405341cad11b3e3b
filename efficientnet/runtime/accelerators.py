"""The GPUs and TPU chips of this host, against those that a run uses."""

import glob
import itertools
import logging
import os
import re
import socket
import zlib

import jax
import numpy as np
from jax._src import hardware_utils  # counts TPU chips before JAX loads their library
from jax.experimental import multihost_utils

from efficientnet.errors import UserError

log = logging.getLogger(__name__)

GPU_FILES = "/dev/nvidia[0-9]*"  # of the driver, and in a container only those that it was given
# JAX gives a task that one of these numbers on its host the GPU of that number, and no other.
LOCAL_NUMBERS = ("SLURM_LOCALID", "OMPI_COMM_WORLD_LOCAL_RANK")


def visible_gpus() -> int:
    """Returns how many NVIDIA GPUs of this host CUDA_VISIBLE_DEVICES leaves visible."""
    files = len(glob.glob(GPU_FILES))
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return files
    # As CUDA reads it: what follows the first word that names no GPU is hidden.
    names = itertools.takewhile(re.compile(r"\s*(\d+|(GPU|MIG)-.+)").fullmatch, chosen.split(","))
    return min(files, len(list(names)))


def check_local_number() -> None:
    """Refuses a task whose number on its host is that of no GPU it can see.

    Raises:
      UserError: more tasks than GPUs, or each task sees only its own, as with --gpus-per-task.
    """
    number = next((os.environ[name] for name in LOCAL_NUMBERS if name in os.environ), None)
    gpus = visible_gpus()
    if number is None or not gpus or "JAX_LOCAL_DEVICE_IDS" in os.environ or _only_cpu_wanted():
        return
    if int(number) >= gpus:
        raise UserError(
            f"task {number} of {socket.gethostname()} would take GPU {number}, but sees {gpus} "
            "(numbered from 0): start one task for each GPU, each seeing all of them, as "
            "docs/clusters/slurm.sh does, not with --gpus-per-task; for CPUs set JAX_PLATFORMS=cpu"
        )


def warn_of_idle() -> None:
    """Warns, once a host, if no process of the run uses some of its GPUs or TPU chips.

    Every process of the run must call it: they count together.
    """
    platform = jax.default_backend()
    if platform == "tpu" or _only_cpu_wanted():
        return
    host = socket.gethostname()
    count = jax.local_device_count() if platform == "gpu" else 0
    mine = np.array([zlib.crc32(host.encode()), count], np.uint32)
    alone = jax.process_count() == 1
    processes = mine[None] if alone else multihost_utils.process_allgather(mine)
    here = processes[:, 0] == mine[0]
    if jax.process_index() == np.argmax(here):
        sentence = _idle(int(processes[here, 1].sum()), host)
        if sentence:
            log.warning("%s", sentence)


def _idle(used: int, host: str) -> str | None:
    """Returns a sentence about a host of whose GPUs or TPU chips a run uses few or none."""
    gpus = visible_gpus()
    if used:
        if used >= gpus:
            return None
        numbers = ",".join(map(str, range(gpus)))
        return (
            f"this run uses {used} of the {gpus} GPUs of {host}: start one process for each, or "
            f"one for all with JAX_LOCAL_DEVICE_IDS={numbers}, see docs/clusters.md; if that is "
            "meant, hide the others with CUDA_VISIBLE_DEVICES"
        )
    chips, _ = hardware_utils.num_available_tpu_chips_and_device_id()
    if not gpus and not chips:
        return None
    found, advice = (
        (f"{gpus} GPUs", "the extra cuda13 or cuda12, see docs/gpu.md")
        if gpus
        else (f"{chips} TPU chips", "the extra tpu, see docs/cloud_tpu.md")
    )
    return (
        f"this run uses the CPU, and none of the {found} of {host}: install {advice}; if that is "
        "meant, say so with JAX_PLATFORMS=cpu"
    )


def _only_cpu_wanted() -> bool:
    return jax.config.jax_platforms == "cpu"  # type: ignore[attr-defined]

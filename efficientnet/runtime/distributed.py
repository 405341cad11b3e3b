"""Training in several processes: how they find each other and agree on common steps."""

import contextlib
import itertools
import logging
import os
import re
import threading
import warnings
from collections.abc import Iterator

import jax
import numpy as np
from jax._src import distributed as state  # the key-value store has no public name
from jax.experimental import multihost_utils

from efficientnet.errors import UserError
from efficientnet.runtime import accelerators, preemption

log = logging.getLogger(__name__)

# When a process has been silent for so long, the others end.
HEARTBEAT_SECONDS = 30
# Hosts of a slice start within minutes of each other.
START_SECONDS = 300
# No process is more than two steps ahead of another, the number in flight, so all processes know
# of a proposal before they reach a step that is so many steps away.
MARGIN = 4

# Where JAX finds no cluster, by what the environment holds; the last is for all others.
UNDETECTED = {
    "OMPI_COMM_WORLD_RANK": "JAX does not detect Open MPI 5, start the processes with "
    "docs/clusters/openmpi.sh",
    "KUBERNETES_SERVICE_HOST": "on Kubernetes without TPUs set JAX_COORDINATOR_ADDRESS, "
    "JAX_NUM_PROCESSES and JAX_PROCESS_ID as docs/clusters/kubernetes_gpu.yaml does",
    "SLURM_JOB_ID": "under Slurm start the processes with srun, as docs/clusters/slurm.sh does",
    "": "it works on Cloud TPU, under Slurm and under Open MPI 4; elsewhere give "
    "--coordinator=HOST:PORT, --num_processes and --process_id, and to a single process none",
}

ALIKE = (
    "start the same command on every host, each with its own --process_id, where that of process 0 "
    "is the HOST, and its PORT is free and open to the others"
)

_runs = itertools.count()


def start(coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
    """Connects the processes of a run; must be called before any other use of JAX.

    Args:
      coordinator: host:port of process 0; 'auto' takes everything from the environment (Cloud TPU,
        Slurm, Open MPI 4); None means that this process is alone.
      num_processes: the number of processes; None with 'auto'.
      process_id: the number of this process, from 0; None with 'auto'.

    Raises:
      UserError: the processes don't find each other, the arguments don't go together, or the task
        would take a GPU that it can't see.
    """
    given = [value is not None for value in (coordinator, num_processes, process_id)]
    if coordinator is None:
        if any(given):
            raise UserError("--num_processes and --process_id need --coordinator=HOST:PORT")
        return
    auto = coordinator == "auto"
    if not auto and not (all(given) and re.fullmatch(r".+:\d+", coordinator)):
        raise UserError(
            f"--coordinator={coordinator} isn't complete: expected --coordinator=HOST:PORT, "
            "--num_processes and --process_id, or on Cloud TPU --coordinator=auto"
        )
    # Kaggle's TPU host, which is always alone; JAX would look for its number among others.
    if auto and os.environ.get("TPU_PROCESS_ADDRESSES") == "local":
        log.info("this TPU host is alone: it needs no coordinator")
        return
    accelerators.check_local_number()
    # Processes reach each other without the proxy for the Internet; empty means none to gRPC.
    os.environ.setdefault("grpc_proxy", "")
    jax.config.update("jax_check_proxy_envs", False)
    try:
        with _limited_wait(coordinator), warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"\s*Kubernetes environment detected")
            jax.distributed.initialize(
                None if auto else coordinator,
                num_processes,
                process_id,
                initialization_timeout=2 * START_SECONDS,
                heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            )
    except (ValueError, RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        advice = next(UNDETECTED[name] for name in UNDETECTED if not name or name in os.environ)
        raise UserError(
            f"--coordinator={coordinator} doesn't work here ({reason}): {advice if auto else ALIKE}"
        ) from error
    log.info("process %d of %d", jax.process_index(), jax.process_count())


@contextlib.contextmanager
def _limited_wait(coordinator: str) -> Iterator[None]:
    """Ends the process in one sentence if others don't come; JAX would abort with a stack trace."""
    sentence = (
        f"error: the processes of --coordinator={coordinator} didn't find each other within "
        f"{START_SECONDS} s: {ALIKE}"
    )
    timer = threading.Timer(START_SECONDS, preemption.end_at_once, (1, sentence))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def leads() -> bool:
    """Whether this is the process that writes the results."""
    return jax.process_index() == 0


def in_any_process(flags: np.ndarray) -> np.ndarray:
    """Returns where a flag is set in any process: bool [n], the same in all of them."""
    if jax.process_count() == 1:
        return flags
    return np.any(multihost_utils.process_allgather(flags), axis=0)


class Agreement:
    """An agreement of all processes to do something after a step; the first proposal wins."""

    def __init__(self) -> None:
        self._client = state.global_state.client if jax.process_count() > 1 else None
        self._folder = f"efficientnet/{next(_runs)}/"
        self._known: dict[str, int] = {}

    def propose(self, what: str, step: int) -> None:
        """Proposes to do something after this step, or a few steps later if there are others."""
        if what in self._known:
            return
        if self._client is None:
            self._known[what] = step
            return
        try:
            self._client.key_value_set(self._folder + what, str(step + MARGIN))
        except jax.errors.JaxRuntimeError as error:
            if "ALREADY_EXISTS" not in str(error):
                raise

    def update(self) -> None:
        """Reads the proposals of all processes; called once per step."""
        if self._client is not None:
            for name, step in self._client.key_value_dir_get(self._folder):
                self._known[name.removeprefix(self._folder)] = int(step)

    def reached(self, what: str, step: int) -> bool:
        """Whether something must be done after this step."""
        return what in self._known and step >= self._known[what]

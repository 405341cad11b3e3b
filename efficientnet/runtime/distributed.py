"""Several processes as one: how they find each other, and how they agree on what to do when."""

import itertools
import logging

import jax
from jax._src import distributed as state  # the key-value store has no public name

from efficientnet.errors import UserError

log = logging.getLogger(__name__)

# A process that gives no sign of life for so long ends the others.
HEARTBEAT_SECONDS = 30
# Hosts of a slice start within minutes of each other.
START_SECONDS = 300
# No process is further ahead of another than the two steps in flight, so that a proposal for so
# many steps later is known to all in time.
MARGIN = 4

_runs = itertools.count()


def start(coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
    """Joins the processes of a run, before JAX is used for anything else.

    Args:
      coordinator: host:port of process 0; 'auto' asks the environment (Cloud TPU, Slurm, Open
        MPI); None makes this process the only one.
      num_processes: how many there are; None where the environment knows.
      process_id: which one this is, from 0; None where the environment knows.

    Raises:
      UserError: they don't find each other, or the arguments don't fit together.
    """
    given = [value is not None for value in (coordinator, num_processes, process_id)]
    if coordinator is None:
        if any(given):
            raise UserError("--num_processes and --process_id need --coordinator=HOST:PORT")
        return
    if coordinator != "auto" and not all(given):
        raise UserError(
            "--coordinator=HOST:PORT needs --num_processes and --process_id; on Cloud TPU take "
            "--coordinator=auto"
        )
    try:
        jax.distributed.initialize(
            None if coordinator == "auto" else coordinator,
            num_processes,
            process_id,
            initialization_timeout=START_SECONDS,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except (ValueError, RuntimeError) as error:
        raise UserError(
            f"the processes of --coordinator={coordinator} didn't find each other "
            f"({str(error).splitlines()[0]}): start the same command on every host"
        ) from error
    log.info("process %d of %d", jax.process_index(), jax.process_count())


def leads() -> bool:
    """Whether this process is the one that writes what is written once."""
    return jax.process_index() == 0


class Agreement:
    """What the processes of a run will do after which step; who proposes first decides."""

    def __init__(self) -> None:
        self._client = state.global_state.client if jax.process_count() > 1 else None
        self._folder = f"efficientnet/{next(_runs)}/"
        self._known: dict[str, int] = {}

    def propose(self, what: str, step: int) -> None:
        """Proposes to do something after this step, or soon after where others must hear of it."""
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
        """Learns what others have proposed; due once a step."""
        if self._client is not None:
            for name, step in self._client.key_value_dir_get(self._folder):
                self._known[name.removeprefix(self._folder)] = int(step)

    def reached(self, what: str, step: int) -> bool:
        """Whether something is due after this step."""
        return what in self._known and step >= self._known[what]

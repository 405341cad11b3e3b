"""Traces of a few training steps, for TensorBoard's profile plugin and for Perfetto."""

import logging
import re

import jax
from etils import epath
from ml_collections import ConfigDict

from efficientnet.errors import UserError

log = logging.getLogger(__name__)


def parse(text: str) -> tuple[int, int] | None:
    """Reads `config.profile_steps`, such as '10:20'; '' is None.

    Raises:
      UserError: it is neither, or it does not begin after a step, which would trace a compilation.
    """
    if not text:
        return None
    match = re.fullmatch(r"(\d+):(\d+)", text)
    if match is None or not 0 < int(match[1]) < int(match[2]):
        raise UserError(
            f"config.profile_steps is {text!r}: expected FROM:TO, such as '10:20', with "
            "0 < FROM < TO"
        )
    return int(match[1]), int(match[2])


class Profiler:
    """Traces the steps after step FROM up to step TO, counted over all stages."""

    def __init__(self, config: ConfigDict, folder: epath.Path) -> None:
        self._steps = parse(config.profile_steps)
        self._folder = folder
        self._running = False

    def step_done(self, step: int, outputs: jax.Array) -> None:
        """Begins or ends the trace where it is due; waits for the step's outputs only then."""
        if self._steps is None:
            return
        first, last = self._steps
        if step == first:
            jax.block_until_ready(outputs)
            start(self._folder)
            self._running = True
        elif step == last and self._running:
            jax.block_until_ready(outputs)
            self.close()
            log.info(
                "profile of steps %d to %d: tensorboard --logdir %s", first, last, self._folder
            )

    def close(self) -> None:
        """Ends a trace that is still running."""
        if self._running:
            self._running = False
            jax.profiler.stop_trace()


def start(folder: epath.Path) -> None:
    """Begins a trace below a folder, without the Python interpreter's own steps."""
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0
    jax.profiler.start_trace(str(folder), profiler_options=options)

"""After which steps a run saves its state and whether it stops then, alike in all processes."""

import time

from ml_collections import ConfigDict

from efficientnet.training.distributed import Agreement, leads
from efficientnet.training.signals import Stop


class Agenda:
    """Saves by steps and by minutes, and when the run is asked to stop."""

    def __init__(self, config: ConfigDict, stop: Stop) -> None:
        self._steps = config.checkpoint_every_steps
        self._seconds = 60 * config.checkpoint_every_minutes
        self._stop = stop
        self._agreement = Agreement()
        self._saves = 0
        self._saved = time.monotonic()
        self.stops = False  # after the step that was last looked at

    def save_is_due(self, step: int) -> bool:
        """Whether to save after this step, counted over all stages; due once a step."""
        by_time = f"save {self._saves}"
        if self._stop.requested:
            self._stop.renew_patience()
            self._agreement.propose("stop", step)
        if self._seconds and leads() and time.monotonic() - self._saved >= self._seconds:
            self._agreement.propose(by_time, step)
        self._agreement.update()
        self.stops = self._agreement.reached("stop", step)
        self._stop.saving |= self.stops
        by_steps = bool(self._steps) and step % self._steps == 0
        return self.stops or by_steps or self._agreement.reached(by_time, step)

    def saved(self) -> None:
        """Begins to count the minutes anew."""
        self._saves += 1
        self._saved = time.monotonic()

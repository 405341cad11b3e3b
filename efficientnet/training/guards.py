"""Stops a run whose loss says that it is lost."""

import collections
import math

import jax
from ml_collections import ConfigDict

from efficientnet.errors import UserError
from efficientnet.training.progress import Progress

ADVICE = (
    "the learning rate is probably too high, take a lower one (a tenth) and a new --workdir; what "
    "is saved stays"
)


class LossGuard:
    """Waits for the losses of the steps in flight, and counts those that are not finite."""

    def __init__(self, stage: ConfigDict, progress: Progress, may_skip: int) -> None:
        self._stage = stage
        self._progress = progress
        self._may_skip = may_skip
        self._in_flight: collections.deque[jax.Array] = collections.deque()

    def add(self, loss: jax.Array) -> None:
        """Takes the loss, NaN where it or the update was not finite, of the step just begun."""
        self._in_flight.append(loss)

    def wait(self, at_most: int) -> None:
        """Waits until so many steps are in flight.

        Raises:
          UserError: more steps than allowed were not finite.
        """
        while len(self._in_flight) > at_most:
            if math.isfinite(float(self._in_flight.popleft())):
                continue
            self._progress.skipped += 1
            if self._progress.skipped > self._may_skip:
                raise UserError(
                    f"the loss of stage {self._stage.name!r} is not finite at step "
                    f"{self._progress.step - len(self._in_flight)}: {ADVICE}"
                )


def check_first_epoch(stage: ConfigDict, loss: float, num_classes: int) -> None:
    """Raises a `UserError` where a fine-tune is far worse than guessing after its first epoch.

    Guessing costs log(num_classes). The mean of a whole epoch far above it means that the first
    steps have destroyed the pretrained features.
    """
    guessing = math.log(num_classes)
    if loss > 1.5 * guessing + 1:
        raise UserError(
            f"the training loss of stage {stage.name!r} is {loss:.2f} after the first epoch, well "
            f"above the {guessing:.2f} of guessing among {num_classes} classes: {ADVICE}"
        )

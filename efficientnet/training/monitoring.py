"""What a stage does about its validation metric: lower the rate where it stands still, or end.

Stops a run whose loss says that it is lost.
"""

import collections
import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import jax

from efficientnet import metrics
from efficientnet.config import StageConfig
from efficientnet.errors import UserError

if TYPE_CHECKING:
    from efficientnet.training.progress import Progress


@dataclasses.dataclass
class Monitor:
    """The state of a stage's plateau and early stopping, all of it JSON."""

    best: float | None = None  # the value that counted as the last improvement
    epochs_without: int = 0  # since then
    epochs_at_rate: int = 0  # since then, or since the rate was lowered
    rate_scale: float = 1.0  # what plateaus have multiplied the learning rate by
    stopped: bool = False  # the stage has ended early

    def update(self, stage: StageConfig, validation: Mapping[str, float]) -> None:
        """Takes note of an epoch's validation metrics.

        An epoch counts as an improvement where it beats the last one that did by more than
        `min_improvement`; one whose metric is not finite never is. Patience p means that the p-th
        epoch in a row without one acts.
        """
        value = validation[stage.monitor]
        # NaN, which is no gain, where neither is finite.
        gain = _worth(stage.monitor, value) - _worth(stage.monitor, self.best)
        if gain > stage.min_improvement:
            self.best, self.epochs_without, self.epochs_at_rate = value, 0, 0
            return
        self.epochs_without += 1
        self.epochs_at_rate += 1
        if self.epochs_at_rate >= stage.plateau_patience:
            floor = min(1.0, stage.plateau_floor / stage.learning_rate)
            self.rate_scale = max(self.rate_scale * stage.plateau_factor, floor)
            self.epochs_at_rate = 0
        self.stopped = bool(stage.stop_patience) and self.epochs_without >= stage.stop_patience


def score(stage: StageConfig, validation: Mapping[str, float]) -> tuple[float, ...]:
    """Orders epochs by the monitored metric, and by loss where an accuracy ties; more is better."""
    return tuple(_worth(name, validation[name]) for name in (stage.monitor, "loss"))


def _worth(metric: str, value: float | None) -> float:
    """A metric's value where more is better; the worst one where it is None or not finite."""
    if value is None or not math.isfinite(value):
        return -math.inf
    return value if metrics.METRICS[metric].higher_is_better else -value


ADVICE = (
    "the learning rate is probably too high, take a lower one (a tenth) and a new --workdir; what "
    "is saved stays"
)


class LossGuard:
    """Waits for the losses of the steps in flight, and counts those that are not finite."""

    def __init__(self, stage: StageConfig, progress: "Progress", may_skip: int) -> None:
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


def check_first_epoch(stage: StageConfig, loss: float, num_classes: int) -> None:
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

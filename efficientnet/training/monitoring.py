"""Reactions to metrics: lowering the learning rate, early stopping, and stopping at a NaN loss."""

import collections
import dataclasses
import math
from collections.abc import Mapping

import jax

from efficientnet.config import StageConfig
from efficientnet.errors import UserError
from efficientnet.metrics import METRICS
from efficientnet.network import freeze_groups
from efficientnet.records import MonitorState


def update(
    state: MonitorState, stage: StageConfig, validation: Mapping[str, float]
) -> MonitorState:
    """Returns the monitor's state after an epoch with these validation metrics.

    An epoch is an improvement if it beats the last improvement by more than `min_improvement`; it
    never is if its metric is not finite. With patience p, the p-th epoch in a row without an
    improvement triggers the reaction.
    """
    value, worth = validation[stage.monitor], METRICS[stage.monitor].worth
    # NaN, which counts as no gain, if neither is finite.
    gain = worth(value) - worth(state.best)
    if gain > stage.min_improvement:
        return dataclasses.replace(state, best=value, epochs_without=0, epochs_at_rate=0)
    epochs_without, epochs_at_rate = state.epochs_without + 1, state.epochs_at_rate + 1
    lr_scale = state.lr_scale
    if epochs_at_rate >= stage.plateau_patience:
        floor = min(1.0, stage.plateau_floor / stage.peak_rate)
        lr_scale = max(lr_scale * stage.plateau_factor, floor)
        epochs_at_rate = 0
    return dataclasses.replace(
        state,
        epochs_without=epochs_without,
        epochs_at_rate=epochs_at_rate,
        lr_scale=lr_scale,
        stopped=bool(stage.stop_patience) and epochs_without >= stage.stop_patience,
    )


def score(stage: StageConfig, validation: Mapping[str, float]) -> tuple[float, ...]:
    """Returns a key to order epochs: the monitored metric, then the loss; more is better."""
    return tuple(METRICS[name].worth(validation[name]) for name in (stage.monitor, "loss"))


ADVICE = (
    "the learning rate is probably too high, take a lower one (a tenth) and a new --workdir; what "
    "is saved stays"
)
HEAD = ("predictions",)  # the freeze group of the classifier
# Within a hundred steps an optimizer, whose averages span ten, is past the jump from a new
# classifier's first updates, and a mean over an epoch no longer hangs on that jump.
ENOUGH_STEPS = 100


class NanGuard:
    """Waits for the losses of steps in flight, and counts those that are not finite.

    Attributes:
      skipped: number of steps of the stage so far whose loss was not finite.
    """

    def __init__(self, stage: StageConfig, skipped: int, may_skip: int) -> None:
        self.skipped = skipped
        self._stage = stage
        self._may_skip = may_skip
        self._in_flight: collections.deque[tuple[int, jax.Array]] = collections.deque()

    def add(self, step: int, loss: jax.Array) -> None:
        """Adds the loss of a dispatched step; NaN if the loss or the update is not finite."""
        self._in_flight.append((step, loss))

    def wait(self, at_most: int) -> None:
        """Waits until at most so many steps are in flight.

        Raises:
          UserError: the losses of more steps than allowed were not finite.
        """
        while len(self._in_flight) > at_most:
            step, loss = self._in_flight.popleft()
            if math.isfinite(float(loss)):
                continue
            self.skipped += 1
            if self.skipped > self._may_skip:
                raise UserError(
                    f"the loss of stage {self._stage.name!r} is not finite at step {step}: {ADVICE}"
                )


def check_fine_tuning(
    stage: StageConfig, loss: float, num_classes: int, *, steps_before: int, steps: int
) -> None:
    """Raises a `UserError` if an epoch is far worse than guessing: the features are destroyed.

    The loss of guessing is log(num_classes). One epoch of a stage is judged, the first that ends
    after `ENOUGH_STEPS`, and none of a stage that trains the classifier alone: frozen features stay
    whole, and a classifier that overshoots finds its way back.

    Args:
      stage: that fine-tunes pretrained weights.
      loss: mean over the epoch's steps.
      num_classes: of the data.
      steps_before: of the stage, before this epoch.
      steps: of the stage, up to its end.
    """
    judged = steps_before < ENOUGH_STEPS <= steps
    guessing = math.log(num_classes)
    if judged and freeze_groups.parse(stage.train) != HEAD and loss > 1.5 * guessing + 1:
        raise UserError(
            f"the training loss of stage {stage.name!r} is {loss:.2f} after {steps} steps, well "
            f"above the {guessing:.2f} of guessing among {num_classes} classes: {ADVICE}"
        )

"""What a stage does about its validation metric: lower the rate where it stands still, or end."""

import dataclasses
import math
from collections.abc import Mapping

from ml_collections import ConfigDict

from efficientnet.errors import UserError
from efficientnet.training.stages import wrong

# Metrics to watch, and whether more of it is better.
MONITORS = {"top1": True, "top3": True, "top5": True, "loss": False}


@dataclasses.dataclass
class Monitor:
    """The state of a stage's plateau and early stopping, all of it JSON."""

    best: float | None = None  # the value that counted as the last improvement
    epochs_without: int = 0  # since then
    epochs_at_rate: int = 0  # since then, or since the rate was lowered
    rate_scale: float = 1.0  # what plateaus have multiplied the learning rate by
    stopped: bool = False  # the stage has ended early

    def update(self, stage: ConfigDict, validation: Mapping[str, float]) -> None:
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


def score(stage: ConfigDict, validation: Mapping[str, float]) -> tuple[float, ...]:
    """Orders epochs by the monitored metric, and by loss where an accuracy ties; more is better."""
    return tuple(_worth(name, validation[name]) for name in (stage.monitor, "loss"))


def _worth(metric: str, value: float | None) -> float:
    """A metric's value where more is better; the worst one where it is None or not finite."""
    if value is None or not math.isfinite(value):
        return -math.inf
    return value if MONITORS[metric] else -value


def check(stage: ConfigDict) -> None:
    """Raises a `UserError` for a value of a stage's monitoring that can't be."""
    if stage.monitor not in MONITORS:
        raise wrong(stage, "monitor", f"one of {', '.join(MONITORS)}")
    if not 0 < stage.plateau_factor <= 1:
        raise wrong(stage, "plateau_factor", "more than 0, and 1 to leave the rate alone")
    if stage.plateau_patience < 1 or stage.stop_patience < 0:
        raise UserError(
            f"stage {stage.name!r} has plateau_patience {stage.plateau_patience} and stop_patience "
            f"{stage.stop_patience}: expected at least 1 epoch, and 0 epochs never to stop early"
        )

"""Learning rates over a stage's steps."""

import math
from collections.abc import Callable

import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from efficientnet.training.stages import wrong


def _constant(stage: ConfigDict, warmup: int, steps: int, decay_steps: float) -> optax.Schedule:
    return optax.constant_schedule(stage.learning_rate)


def _cosine(stage: ConfigDict, warmup: int, steps: int, decay_steps: float) -> optax.Schedule:
    after = optax.cosine_decay_schedule(stage.learning_rate, max(steps - warmup, 1))
    return lambda step: after(step - warmup)


def _exponential(stage: ConfigDict, warmup: int, steps: int, decay_steps: float) -> optax.Schedule:
    return optax.exponential_decay(stage.learning_rate, decay_steps, stage.decay_rate)


def _step(stage: ConfigDict, warmup: int, steps: int, decay_steps: float) -> optax.Schedule:
    return optax.exponential_decay(
        stage.learning_rate, decay_steps, stage.decay_rate, staircase=True
    )


# What comes after the warm-up, as functions of the stage's step. The exponential ones count from
# the stage's beginning, as the reference code does (tensorflow/tpu, efficientnet/utils.py).
SCHEDULES: dict[str, Callable[[ConfigDict, int, int, float], optax.Schedule]] = {
    "constant": _constant,
    "cosine": _cosine,
    "exponential": _exponential,
    "step": _step,
}


def make_schedule(stage: ConfigDict, steps: int, steps_per_epoch: float) -> optax.Schedule:
    """Returns the learning rate as a function of the stage's step.

    Args:
      stage: a stage's config.
      steps: how many steps the stage has.
      steps_per_epoch: batches in an epoch, not necessarily whole.

    Raises:
      UserError: the schedule is unknown, or a number of it can't be.
    """
    if stage.schedule not in SCHEDULES:
        raise wrong(stage, "schedule", f"one of {', '.join(SCHEDULES)}")
    for field in ("learning_rate", "decay_rate", "decay_epochs"):
        if stage[field] <= 0:
            raise wrong(stage, field, "more than 0")
    warmup = min(round(stage.warmup_epochs * steps_per_epoch), steps)
    decay_steps = stage.decay_epochs * steps_per_epoch
    after = SCHEDULES[stage.schedule](stage, warmup, steps, decay_steps)
    if not warmup:
        return after
    # The first step already moves: it takes 1 / warmup of the peak.
    ramp = optax.linear_schedule(stage.learning_rate / warmup, stage.learning_rate, warmup - 1)
    return lambda step: jnp.where(step < warmup, ramp(step), after(step))


def epoch_ends(epochs: float, steps_per_epoch: float) -> dict[int, int]:
    """Returns which epoch ends at which step; the last step is how many there are.

    Epochs need not be whole batches: each ends with the batch nearest to its end.
    """
    num_steps = max(1, round(epochs * steps_per_epoch))
    return {
        min(max(1, round(epoch * steps_per_epoch)), num_steps): epoch
        for epoch in range(1, math.ceil(epochs) + 1)
    }

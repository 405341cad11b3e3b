"""Optax transformations and schedules from a stage's config."""

from collections.abc import Callable
from typing import Any

import jax
import optax
from ml_collections import ConfigDict

from efficientnet.errors import UserError


def decay_mask(params: Any) -> Any:
    """True for the leaves that weight decay touches: kernels, never biases or BatchNorm."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)


def _adamw(learning_rate: optax.Schedule, weight_decay: float) -> optax.GradientTransformation:
    return optax.adamw(learning_rate, weight_decay=weight_decay, mask=decay_mask)


def _sgd(learning_rate: optax.Schedule, weight_decay: float) -> optax.GradientTransformation:
    """Nesterov momentum 0.9; the decay is added to the gradient, as in PyTorch and Keras."""
    return optax.chain(
        optax.add_decayed_weights(weight_decay, mask=decay_mask),
        optax.sgd(learning_rate, momentum=0.9, nesterov=True),
    )


OPTIMIZERS: dict[str, Callable[[optax.Schedule, float], optax.GradientTransformation]] = {
    "adamw": _adamw,
    "sgd": _sgd,
}

# Schedules after the warm-up: (peak rate, remaining steps) -> schedule.
SCHEDULES: dict[str, Callable[[float, int], optax.Schedule]] = {
    "constant": lambda rate, steps: optax.constant_schedule(rate),
    "cosine": lambda rate, steps: optax.cosine_decay_schedule(rate, max(steps, 1)),
}


def make_schedule(stage: ConfigDict, steps: int, steps_per_epoch: float) -> optax.Schedule:
    """Returns the learning rate as a function of the stage's step.

    Args:
      stage: a stage's config.
      steps: how many steps the stage has.
      steps_per_epoch: batches in an epoch, not necessarily whole.
    """
    if stage.schedule not in SCHEDULES:
        raise UserError(
            f"stage {stage.name!r} has schedule {stage.schedule!r}: "
            f"expected one of {', '.join(SCHEDULES)}"
        )
    warmup = min(round(stage.warmup_epochs * steps_per_epoch), steps)
    after = SCHEDULES[stage.schedule](stage.learning_rate, steps - warmup)
    if not warmup:
        return after
    # The first step already moves: it takes 1 / warmup of the peak.
    ramp = optax.linear_schedule(stage.learning_rate / warmup, stage.learning_rate, warmup - 1)
    return optax.join_schedules([ramp, after], [warmup])


def make_optimizer(stage: ConfigDict, schedule: optax.Schedule) -> optax.GradientTransformation:
    """Returns the stage's optimizer, to be initialized with the trainable parameters only."""
    if stage.optimizer not in OPTIMIZERS:
        raise UserError(
            f"stage {stage.name!r} has optimizer {stage.optimizer!r}: "
            f"expected one of {', '.join(OPTIMIZERS)}"
        )
    return OPTIMIZERS[stage.optimizer](schedule, stage.weight_decay)

"""Optimizers and learning rate schedules of a stage, made with Optax."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike
from optax import GradientTransformation as Transformation

from efficientnet.config import Optimizer, StageConfig
from efficientnet.network import architecture
from efficientnet.network.variants import Variant


def decay_mask(params: Any) -> Any:
    """Returns True for the leaves with weight decay: kernels, never biases or BatchNorm."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)


def rate_multipliers(stage: StageConfig, variant: Variant) -> dict[str, float]:
    """Returns the factor on the learning rate for each part of the network.

    A part is the layer's name up to its first underscore: `stem`, `block1a`, ..., `top`,
    `predictions`. With `layer_decay` d, the factor of a part that is followed by n parts is d ** n
    (Howard and Ruder 2018, "discriminative fine-tuning"). `head_learning_rate` is the classifier's.
    """
    parts = (
        "stem",
        *(block.name for block in architecture.build(variant).blocks),
        "top",
        "predictions",
    )
    factors = {part: stage.layer_decay**n for n, part in enumerate(reversed(parts))}
    if stage.head_learning_rate is not None:
        factors["predictions"] = stage.head_learning_rate / stage.peak_rate
    return factors


def scale_by_rate(
    schedule: optax.Schedule, multipliers: Mapping[str, float]
) -> optax.GradientTransformationExtraArgs:
    """Multiplies updates by minus the learning rate of their part of the network.

    Its `update` takes the stage's `step`, from 0, and `lr_scale`, a further factor that the host
    may lower from epoch to epoch.
    """

    def update(
        updates: Any,
        state: optax.EmptyState,
        params: Any = None,
        *,
        step: ArrayLike,
        lr_scale: ArrayLike = 1.0,
        **_: Any,
    ) -> tuple[Any, optax.EmptyState]:
        rate = -schedule(step) * lr_scale
        scaled = {
            layer: optax.tree.scale(rate * multipliers[layer.split("_")[0]], leaves)
            for layer, leaves in updates.items()
        }
        return scaled, state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)


def _adamw(stage: StageConfig, decay: Transformation, rate: Transformation) -> Transformation:
    """Decoupled weight decay, which bypasses the moments (Loshchilov and Hutter 2019)."""
    return optax.chain(optax.scale_by_adam(eps=stage.epsilon or 1e-8), decay, rate)


def _adam(stage: StageConfig, decay: Transformation, rate: Transformation) -> Transformation:
    return optax.chain(decay, optax.scale_by_adam(eps=stage.epsilon or 1e-8), rate)


def _sgd(stage: StageConfig, decay: Transformation, rate: Transformation) -> Transformation:
    return optax.chain(decay, optax.trace(stage.momentum, stage.nesterov), rate)


def _rmsprop(stage: StageConfig, decay: Transformation, rate: Transformation) -> Transformation:
    """RMSProp as in TensorFlow, which the EfficientNet paper used.

    The mean square starts at 1, epsilon is added before taking the root, and the momentum
    accumulates updates that are already multiplied by the learning rate.
    """
    epsilon = stage.epsilon or 1e-3
    rms = optax.scale_by_rms(decay=0.9, eps=epsilon, initial_scale=1.0, eps_in_sqrt=True)
    return optax.chain(decay, rms, rate, optax.trace(stage.momentum))


def _lamb(stage: StageConfig, decay: Transformation, rate: Transformation) -> Transformation:
    adam = optax.scale_by_adam(eps=stage.epsilon or 1e-6)
    return optax.chain(adam, decay, optax.scale_by_trust_ratio(), rate)


def _lion(stage: StageConfig, decay: Transformation, rate: Transformation) -> Transformation:
    return optax.chain(optax.scale_by_lion(), decay, rate)


# How each optimizer is chained with the transformations `decay` and `rate`. Where the decay comes
# first, it is the gradient of an L2 penalty of weight_decay / 2.
OPTIMIZERS: dict[
    Optimizer, Callable[[StageConfig, Transformation, Transformation], Transformation]
] = {
    "adamw": _adamw,
    "adam": _adam,
    "sgd": _sgd,
    "rmsprop": _rmsprop,
    "lamb": _lamb,
    "lion": _lion,
}


def make_optimizer(
    stage: StageConfig, schedule: optax.Schedule, variant: Variant
) -> optax.GradientTransformationExtraArgs:
    """Returns the stage's optimizer, to be initialized with the trainable parameters only.

    Its `update` takes the keywords `step` and `lr_scale`, see `scale_by_rate`.
    """
    decay = optax.add_decayed_weights(stage.weight_decay, mask=decay_mask)
    rate = scale_by_rate(schedule, rate_multipliers(stage, variant))
    clip = optax.clip_by_global_norm(stage.clip_norm) if stage.clip_norm else optax.identity()
    optimizer = OPTIMIZERS[stage.optimizer](stage, decay, rate)
    return optax.with_extra_args_support(optax.chain(clip, optimizer))


def _after_warmup(
    stage: StageConfig, warmup: int, steps: int, decay_steps: float
) -> optax.Schedule:
    """Returns a schedule of the stage's step, which is right once the warmup has ended.

    The exponential ones count from the start of the stage, as in the reference code
    (tensorflow/tpu, efficientnet/utils.py).
    """
    peak = stage.peak_rate
    match stage.schedule:
        case "constant":
            return optax.constant_schedule(peak)
        case "cosine":
            cosine = optax.cosine_decay_schedule(peak, max(steps - warmup, 1))
            return lambda step: cosine(step - warmup)
        case "exponential" | "step":
            stairs = stage.schedule == "step"
            return optax.exponential_decay(peak, decay_steps, stage.decay_rate, staircase=stairs)


def make_schedule(stage: StageConfig, steps: int, steps_per_epoch: float) -> optax.Schedule:
    """Returns the learning rate as a function of the stage's step.

    Args:
      stage: config of the stage.
      steps: number of steps of the stage.
      steps_per_epoch: batches per epoch, which may be fractional.
    """
    warmup = min(round(stage.warmup_epochs * steps_per_epoch), steps)
    decay_steps = stage.decay_epochs * steps_per_epoch
    after = _after_warmup(stage, warmup, steps, decay_steps)
    if not warmup:
        return after
    # The first step takes 1 / warmup of the peak, not 0.
    peak = stage.peak_rate
    ramp = optax.linear_schedule(peak / warmup, peak, warmup - 1)
    return lambda step: jnp.where(step < warmup, ramp(step), after(step))


def epoch_ends(epochs: float, steps_per_epoch: float) -> dict[int, int]:
    """Returns which epoch ends at which step; the last step is the number of steps.

    Epochs need not be whole batches; each ends with the batch nearest to its end.
    """
    num_steps = max(1, round(epochs * steps_per_epoch))
    return {
        min(max(1, round(epoch * steps_per_epoch)), num_steps): epoch
        for epoch in range(1, math.ceil(epochs) + 1)
    }

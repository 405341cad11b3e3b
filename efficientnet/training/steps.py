"""The pure functions that jit compiles: one training step, one evaluation step."""

from collections.abc import Callable, Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from clu.metrics import Collection
from jax.typing import ArrayLike

from efficientnet.model import EfficientNet
from efficientnet.training import metrics, stages

Batch = Mapping[str, jax.Array]


class TrainState(flax.struct.PyTreeNode):
    """All that a stage changes on the device; what is saved and restored."""

    step: jax.Array  # int32 [], steps of this stage that are done
    params: dict[str, Any]  # frozen and trainable together
    batch_stats: dict[str, Any]
    opt_state: optax.OptState  # of the trainable parameters only
    recent_metrics: Collection  # since the last point of the training curves
    epoch_metrics: Collection  # since the epoch began


def create_state(
    variables: Mapping[str, Any], optimizer: optax.GradientTransformation, plan: stages.Plan
) -> TrainState:
    """Returns the state at a stage's first step."""
    trainable, _ = stages.split_params(variables["params"], plan)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=variables["params"],
        batch_stats=variables["batch_stats"],
        opt_state=optimizer.init(trainable),
        recent_metrics=metrics.TrainMetrics.empty(),
        epoch_metrics=metrics.TrainMetrics.empty(),
    )


def normalize(images: jax.Array, mean: ArrayLike, std: ArrayLike) -> jax.Array:
    """Maps uint8 [N, H, W, C] to (images - mean) / std in float32; both on the scale 0..255."""
    return (images.astype(jnp.float32) - mean) / std


def make_train_step(
    model: EfficientNet,
    plan: stages.Plan,
    optimizer: optax.GradientTransformation,
    *,
    mean: ArrayLike,
    std: ArrayLike,
    label_smoothing: float,
    rng: jax.Array,
) -> Callable[[TrainState, Batch], tuple[TrainState, jax.Array]]:
    """Returns a function from (state, batch) to (next state, loss []).

    Only the trainable parameters are differentiated: what comes before them in the network is a
    plain forward pass, and frozen leaves go through untouched. All randomness is a function of
    `rng` and the step.
    """

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, jax.Array]:
        trainable, frozen = stages.split_params(state.params, plan)
        images = normalize(batch["image"], mean, std)

        def loss_function(trainable: dict[str, Any]) -> tuple[jax.Array, Any]:
            logits, updates = model.apply(
                {"params": {**trainable, **frozen}, "batch_stats": state.batch_stats},
                images,
                training_groups=plan.groups,
                batch_norm_groups=plan.batch_norm_groups,
                rngs={"dropout": jax.random.fold_in(rng, state.step)},
                mutable=["batch_stats"],
            )
            losses = metrics.cross_entropy(logits, batch["label"], label_smoothing)
            return jnp.mean(losses), (logits, losses, updates["batch_stats"])

        gradient = jax.value_and_grad(loss_function, has_aux=True)
        (loss, (logits, losses, batch_stats)), grads = gradient(trainable)
        updates, opt_state = optimizer.update(grads, state.opt_state, trainable)
        counted = metrics.TrainMetrics.single_from_model_output(
            loss=losses, logits=logits, label=batch["label"], mask=batch["mask"]
        )
        next_state = TrainState(
            step=state.step + 1,
            params={**optax.apply_updates(trainable, updates), **frozen},
            batch_stats=batch_stats,
            opt_state=opt_state,
            recent_metrics=state.recent_metrics.merge(counted),
            epoch_metrics=state.epoch_metrics.merge(counted),
        )
        return next_state, loss

    return train_step


def make_eval_step(
    model: EfficientNet, *, mean: ArrayLike, std: ArrayLike
) -> Callable[[Mapping[str, Any], Collection, Batch], Collection]:
    """Returns a function that adds a batch's examples, where `mask` is true, to the metrics."""

    def eval_step(variables: Mapping[str, Any], counted: Collection, batch: Batch) -> Collection:
        logits = jnp.asarray(model.apply(variables, normalize(batch["image"], mean, std)))
        losses = metrics.cross_entropy(logits, batch["label"])
        more = type(counted).single_from_model_output(
            loss=losses, logits=logits, label=batch["label"], mask=batch["mask"]
        )
        return counted.merge(more)

    return eval_step

"""The training step and the evaluation step, as pure functions and jitted."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from clu.metrics import Collection
from jax.sharding import Mesh
from jax.typing import ArrayLike

from efficientnet.config import StageConfig
from efficientnet.network import freeze_groups
from efficientnet.network.freeze_groups import split_params
from efficientnet.network.layers import normalize
from efficientnet.network.model import EfficientNet
from efficientnet.records import ParameterCounts
from efficientnet.runtime import devices
from efficientnet.training import ema, mixup, optim
from efficientnet.training.losses import BatchMetrics, balancing_weights, cross_entropy

if TYPE_CHECKING:  # the steps need none of the pipeline, which takes TensorFlow's memory
    from efficientnet.training.setup import Experiment

Batch = Mapping[str, jax.Array]


class TrainState(flax.struct.PyTreeNode):
    """Everything that a stage changes on the device: what is saved and restored."""

    step: jax.Array  # int32 [], completed steps of this stage
    params: dict[str, Any]  # frozen and trainable together
    batch_stats: dict[str, Any]
    opt_state: optax.OptState  # of the trainable parameters only
    averages: ema.Averages  # of the trainable parameters; {} without moving averages
    recent_metrics: Collection  # since the last point in TensorBoard
    epoch_metrics: Collection  # since the epoch began

    @property
    def variables(self) -> dict[str, Any]:
        """The variables of the network."""
        return {"params": self.params, "batch_stats": self.batch_stats}

    @property
    def averaged_variables(self) -> dict[str, Any]:
        """The variables of the network, with moving averages where there are any."""
        return ema.merged(self.averages, self.params, self.batch_stats)


def initial_state(
    variables: Mapping[str, Any], stage: StageConfig, optimizer: optax.GradientTransformation
) -> TrainState:
    """Returns the state at a stage's first step."""
    params, batch_stats = variables["params"], variables["batch_stats"]
    trains = freeze_groups.trainable(stage)
    trainable, _ = split_params(params, trains)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=batch_stats,
        opt_state=optimizer.init(trainable),
        averages=ema.start(params, batch_stats, trains) if stage.ema_decay else {},
        recent_metrics=BatchMetrics.empty(),
        epoch_metrics=BatchMetrics.empty(),
    )


def make_train_step(
    model: EfficientNet,
    stage: StageConfig,
    optimizer: optax.GradientTransformationExtraArgs,
    *,
    mean: ArrayLike,
    std: ArrayLike,
    rng: jax.Array,
    class_weights: ArrayLike | None = None,
) -> Callable[..., tuple[TrainState, jax.Array]]:
    """Returns a function from (state, batch, lr_scale=1.0) to (next state, loss []).

    Only the trainable parameters are differentiated: the layers before them run a plain forward
    pass, and frozen leaves are returned unchanged. All randomness is a function of `rng` and the
    step. The terms of the classes in the loss have `class_weights` [classes], if there are any.

    With `micro_batches`, the gradient is the mean over the parts, which is that of the whole batch
    in less memory; only BatchNorm with batch statistics uses those of each part, and dropout draws
    other numbers.

    Examples whose `mask` is False (unreadable photos) don't count in loss, gradient and metrics,
    and neither do examples mixed with them. Only the batch statistics of BatchNorm include the
    pixels in their place.

    A step whose loss or update is not finite changes only the step number and returns NaN, so that
    the state always stays valid.
    """
    trains = freeze_groups.trainable(stage)

    def gradient(
        trainable: dict[str, Any], frozen: dict[str, Any], batch_stats: Any, part: Any, key: Any
    ) -> Any:
        """Returns ((loss, (logits, losses, batch_stats)), gradient).

        `part` is (images, targets, weights), with a weight for each example.
        """
        images, targets, weights = part

        def loss_function(trainable: dict[str, Any]) -> tuple[jax.Array, Any]:
            logits, updates = model.apply(
                {"params": {**trainable, **frozen}, "batch_stats": batch_stats},
                normalize(images, mean, std),
                training_groups=trains.dropout_groups,
                batch_norm_groups=trains.batch_norm_groups,
                rngs={"dropout": key},
                mutable=["batch_stats"],
            )
            losses = cross_entropy(logits, targets, stage.label_smoothing, class_weights)
            return jnp.mean(losses * weights), (logits, losses, updates["batch_stats"])

        with model.in_precision():
            return jax.value_and_grad(loss_function, has_aux=True)(trainable)

    def accumulated(
        trainable: dict[str, Any], frozen: dict[str, Any], batch_stats: Any, batch: Any, key: Any
    ) -> Any:
        """Does the same in parts of every n-th example, so that no device sends data away."""
        count = stage.micro_batches
        parts = jax.tree.map(lambda x: x.reshape(-1, count, *x.shape[1:]).swapaxes(0, 1), batch)

        def add(carry: Any, part: Any) -> Any:
            number, batch_stats, total = carry
            (_, (logits, losses, batch_stats)), grads = gradient(
                trainable, frozen, batch_stats, part, jax.random.fold_in(key, number)
            )
            return (number + 1, batch_stats, optax.tree.add(total, grads)), (logits, losses)

        begin = (jnp.zeros((), jnp.int32), batch_stats, optax.tree.zeros_like(trainable))
        (_, batch_stats, total), outputs = jax.lax.scan(add, begin, parts)
        logits, losses = jax.tree.map(lambda x: x.swapaxes(0, 1).reshape(-1, *x.shape[2:]), outputs)
        grads = optax.tree.scale(1 / count, total)
        return (jnp.mean(losses * batch[2]), (logits, losses, batch_stats)), grads

    def train_step(
        state: TrainState, batch: Batch, lr_scale: ArrayLike = 1.0
    ) -> tuple[TrainState, jax.Array]:
        trainable, frozen = split_params(state.params, trains)
        key = jax.random.fold_in(rng, state.step)
        targets = jax.nn.one_hot(batch["label"], model.num_classes)
        mixed = mixup.mix(
            jax.random.fold_in(key, 0), batch["image"], targets, stage.mixup, stage.cutmix
        )
        counts = mixup.unmixed(batch["mask"], stage.mixup, stage.cutmix)
        compute = gradient if stage.micro_batches == 1 else accumulated
        (loss, (logits, losses, batch_stats)), grads = compute(
            trainable, frozen, state.batch_stats, (*mixed, counts), jax.random.fold_in(key, 1)
        )
        # After the gradient, so that one all-reduce sums this, the gradient and the metrics.
        present = jnp.maximum(jnp.mean(counts), 1 / len(counts))
        loss, grads = jax.tree.map(lambda x: x / present, (loss, grads))
        updates, opt_state = optimizer.update(
            grads, state.opt_state, trainable, step=state.step, lr_scale=lr_scale
        )
        changed = {
            "params": optax.apply_updates(trainable, updates),
            "batch_stats": freeze_groups.split(batch_stats, trains.batch_norm_groups)[0],
        }
        means = state.averages
        if stage.ema_decay:
            means = ema.update(means, changed, state.step + 1, stage.ema_decay)

        # The class of a mixed image is that of its larger share.
        counted = BatchMetrics.single_from_model_output(
            loss=losses,
            logits=logits,
            label=jnp.argmax(mixed[1], axis=-1),
            mask=counts,
        )
        good = jnp.isfinite(loss) & jnp.isfinite(optax.tree.norm(updates))
        changing = ema.changing(state.params, state.batch_stats, trains)
        so_far = state.recent_metrics, state.epoch_metrics
        changed, opt_state, means, so_far = jax.tree.map(
            lambda new, old: jnp.where(good, new, old),
            (changed, opt_state, means, tuple(metric.merge(counted) for metric in so_far)),
            (changing, state.opt_state, state.averages, so_far),
        )
        recent_metrics, epoch_metrics = so_far
        next_state = TrainState(
            step=state.step + 1,
            **ema.merged(changed, state.params, state.batch_stats),
            opt_state=opt_state,
            averages=means,
            recent_metrics=recent_metrics,
            epoch_metrics=epoch_metrics,
        )
        return next_state, jnp.where(good, loss, jnp.nan)

    return train_step


class Evaluated(NamedTuple):
    """What the evaluation step returns.

    Attributes:
      metrics: those before it, and of the examples of the batch where `mask` is true.
      logits: [N, classes], -inf where `mask` is false, and nowhere else: NaN where a network's own
        all are.
      features: [N, features], what the classifier saw of each image.
    """

    metrics: Collection
    logits: jax.Array
    features: jax.Array


def make_eval_step(
    model: EfficientNet,
    mesh: Mesh,
    *,
    mean: Sequence[float] | np.ndarray,
    std: Sequence[float] | np.ndarray,
    flip: bool = False,
    deterministic: bool = True,
) -> jax.stages.Wrapped:
    """Returns the jitted evaluation step, from (variables, metrics, batch) to `Evaluated`.

    With `flip`, the logits are the logarithms of the mean probabilities of each image and its
    mirror image. For `deterministic` see `devices.compiler_options`. The same network gets the same
    step, so that a process compiles it once.
    """
    network = model.clone(dropout=0.0, drop_connect=0.0)  # which only training uses
    scale = tuple(tuple(np.asarray(values, np.float32).tolist()) for values in (mean, std))
    return _eval_step(network, mesh, scale, flip, deterministic)


@functools.lru_cache(maxsize=4)
def _eval_step(
    model: EfficientNet,
    mesh: Mesh,
    scale: tuple[tuple[float, ...], ...],
    flip: bool,
    deterministic: bool,
) -> jax.stages.Wrapped:
    mean, std = np.asarray(scale, np.float32)
    backbone = model.clone(features_only=True)
    classifier = model.clone(classifier_only=True)

    def apply(variables: Mapping[str, Any], images: jax.Array) -> tuple[jax.Array, jax.Array]:
        features = normalize(images, mean, std)
        if not model.classifier_only:
            features = jnp.asarray(backbone.apply(variables, features))
        return features, jnp.asarray(classifier.apply(variables, features))

    def eval_step(variables: Mapping[str, Any], counted: Collection, batch: Batch) -> Evaluated:
        features, logits = apply(variables, batch["image"])
        if flip:
            _, mirrored = apply(variables, batch["image"][:, :, ::-1])
            both = (jax.nn.log_softmax(logits), jax.nn.log_softmax(mirrored))
            logits = jnp.logaddexp(*both) - jnp.log(2.0)
        targets = jax.nn.one_hot(batch["label"], logits.shape[-1])
        losses = cross_entropy(logits, targets)
        more = type(counted).single_from_model_output(
            loss=losses, logits=logits, label=batch["label"], mask=batch["mask"]
        )
        logits = jnp.where(jnp.isneginf(logits).all(axis=1, keepdims=True), jnp.nan, logits)
        logits = jnp.where(batch["mask"][:, None], logits, -jnp.inf)
        return Evaluated(counted.merge(more), logits, features)

    return devices.jit(eval_step, mesh, deterministic=deterministic)


class StageSchedule(NamedTuple):
    """For how long a stage trains, and at which learning rates."""

    epoch_ends: dict[int, int]  # which epoch ends at which step
    learning_rates: np.ndarray  # float32 [num_steps]

    @property
    def num_steps(self) -> int:
        """Number of steps of the stage."""
        return len(self.learning_rates)

    def mean_rate(self, end: int) -> float:
        """Returns the mean learning rate of the epoch that ends with step `end`."""
        begin = max((step for step in self.epoch_ends if step < end), default=0)
        return float(self.learning_rates[begin:end].mean(dtype=np.float64))


def steps_per_epoch(experiment: "Experiment") -> float:
    """Returns how many batches an experiment's training photos fill, which may be fractional."""
    per_epoch = len(experiment.data.train) / experiment.config.batch_size
    return math.floor(per_epoch) if experiment.config.data.drop_remainder else per_epoch


def number_of_steps(experiment: "Experiment", stage: StageConfig) -> int:
    """Returns for how many steps one of an experiment's stages trains."""
    return max(optim.epoch_ends(stage.epochs, steps_per_epoch(experiment)))


def stage_schedule(experiment: "Experiment", stage: StageConfig) -> StageSchedule:
    """Returns the schedule of one of an experiment's stages, whose learning rate is a number."""
    per_epoch = steps_per_epoch(experiment)
    epoch_ends = optim.epoch_ends(stage.epochs, per_epoch)
    num_steps = max(epoch_ends)
    rates = optim.make_schedule(stage, num_steps, per_epoch)(jnp.arange(num_steps))
    return StageSchedule(epoch_ends, np.broadcast_to(np.asarray(rates, np.float32), num_steps))


def optimizer_of(
    experiment: "Experiment", stage: StageConfig
) -> optax.GradientTransformationExtraArgs:
    """Returns a stage's optimizer, whose `lr_scale` is the learning rate itself.

    So the compiled step is the same for all rates: those of a schedule, a sweep or a range test.
    """
    return optim.make_optimizer(stage, optax.constant_schedule(1.0), experiment.variant)


def train_program(experiment: "Experiment", stage: StageConfig, number: int) -> jax.stages.Wrapped:
    """Returns the jitted training step of a stage, which donates the memory of its state.

    It takes a state of `optimizer_of`, a batch and the learning rate.

    Args:
      experiment: with the network and the devices.
      stage: a stage of its config.
      number: of that stage, from 0, for its own random stream.
    """
    data, weights = experiment.data, None
    if stage.balance_classes:
        weights = balancing_weights(data.train.labels, len(data.class_names))
    step = make_train_step(
        experiment.model(stage).clone(
            matmul_precision=experiment.config.matmul_precision,
            own_kernels=experiment.mesh
            if experiment.config.depthwise_kernels == "pallas"
            else None,
        ),
        stage,
        optimizer_of(experiment, stage),
        mean=experiment.mean,
        std=experiment.std,
        rng=jax.random.fold_in(jax.random.key(experiment.config.seed), number),
        class_weights=weights,
    )
    return devices.jit(
        step, experiment.mesh, deterministic=experiment.config.deterministic, donate_argnums=0
    )


def eval_program(experiment: "Experiment") -> jax.stages.Wrapped:
    """Returns the jitted evaluation step of an experiment."""
    # Inference has no dropout, so the network of any stage will do.
    model = experiment.model(experiment.config.stages[0])
    return make_eval_step(
        model,
        experiment.mesh,
        mean=experiment.mean,
        std=experiment.std,
        deterministic=experiment.config.deterministic,
    )


def count_params(params: Mapping[str, Any], stage: StageConfig) -> ParameterCounts:
    """Counts the scalars that a stage trains, and those that are frozen."""
    parts = split_params(params, freeze_groups.trainable(stage))
    trainable, frozen = (sum(leaf.size for leaf in jax.tree.leaves(part)) for part in parts)
    return ParameterCounts(trainable=trainable, frozen=frozen)

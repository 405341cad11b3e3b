"""The compiled functions of a run: the trainer runs them, estimates for a TPU only compile them."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import optax
from clu.metrics import Collection
from jax.sharding import Mesh
from jax.typing import ArrayLike

from efficientnet.config import StageConfig
from efficientnet.network.model import EfficientNet
from efficientnet.runtime import devices
from efficientnet.runtime.compiler_options import compiler_options
from efficientnet.training import losses, optim, stages, steps
from efficientnet.training.setup import Experiment

EvalProgram = Callable[..., tuple[Collection, jax.Array]]


class Course(NamedTuple):
    """What a stage trains, for how long and how fast."""

    plan: stages.Plan
    epoch_ends: dict[int, int]  # which epoch ends at which step
    schedule: optax.Schedule
    transformation: optax.GradientTransformationExtraArgs

    @property
    def num_steps(self) -> int:
        """Steps of the whole stage."""
        return max(self.epoch_ends)


def course(experiment: Experiment, stage: StageConfig) -> Course:
    """Returns what a stage of an experiment comes to."""
    per_epoch = len(experiment.data.train) / experiment.config.batch_size
    epoch_ends = optim.epoch_ends(stage.epochs, per_epoch)
    schedule = optim.make_schedule(stage, max(epoch_ends), per_epoch)
    transformation = optim.make_optimizer(stage, schedule, experiment.variant)
    return Course(stages.plan(stage), epoch_ends, schedule, transformation)


def initial_state(
    variables: Mapping[str, Any], stage: StageConfig, course: Course
) -> steps.TrainState:
    """Returns the state at a stage's first step."""

    def create(variables: Mapping[str, Any]) -> steps.TrainState:
        averaged = stage.ema_decay > 0
        return steps.create_state(variables, course.transformation, course.plan, averaged)

    # As one program: one for each shape takes seconds to compile at every start.
    return jax.jit(create)(variables)


def train_program(
    experiment: Experiment, stage: StageConfig, course: Course, number: int
) -> Callable[..., tuple[steps.TrainState, jax.Array]]:
    """Returns the jitted training step of a stage, which takes its state's memory.

    Args:
      experiment: gives the network and the devices.
      stage: one of its config's stages.
      course: of that stage.
      number: of that stage, from 0; tells its random stream from the others'.
    """
    step = steps.make_train_step(
        experiment.model(stage),
        course.plan,
        course.transformation,
        mean=experiment.mean,
        std=experiment.std,
        objective=_objective(experiment, stage),
        rng=jax.random.fold_in(jax.random.key(experiment.config.seed), number),
    )
    return jax.jit(
        step,
        donate_argnums=0,
        out_shardings=devices.replicated(experiment.mesh),
        compiler_options=compiler_options(experiment.mesh),
    )


def eval_program(experiment: Experiment) -> EvalProgram:
    """Returns the jitted evaluation step of an experiment."""
    # Inference knows no dropout, so any stage's network will do.
    model = experiment.model(experiment.config.stages[0])
    return jit_eval(model, experiment.mean, experiment.std, experiment.mesh)


def jit_eval(
    model: EfficientNet, mean: ArrayLike, std: ArrayLike, mesh: Mesh, flip: bool = False
) -> EvalProgram:
    """Returns the jitted evaluation step of a network, see `steps.make_eval_step`."""
    step = steps.make_eval_step(model, mean=mean, std=std, flip=flip)
    return jax.jit(
        step, out_shardings=devices.replicated(mesh), compiler_options=compiler_options(mesh)
    )


def _objective(experiment: Experiment, stage: StageConfig) -> steps.Objective:
    data = experiment.data
    weights = None
    if stage.balance_classes:
        weights = losses.balancing_weights(data.train.labels, len(data.class_names))
    return steps.Objective(
        label_smoothing=stage.label_smoothing,
        class_weights=weights,
        mixup=stage.mixup,
        cutmix=stage.cutmix,
        micro_batches=stage.micro_batches,
        ema_decay=stage.ema_decay,
    )

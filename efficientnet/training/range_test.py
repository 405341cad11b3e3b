"""A learning rate range test: the rate rises from step to step, until the network is destroyed.

Smith 2017, "Cyclical learning rates for training neural networks", section 3.3. The rate rises
exponentially, as in fastai, because it is its order of magnitude that is to be found.
"""

import math
from typing import Any

import jax
import numpy as np

from efficientnet.config import StageConfig
from efficientnet.errors import UserError
from efficientnet.network import freeze_groups
from efficientnet.records import RangeTest
from efficientnet.reporting import range_tests
from efficientnet.runtime import devices
from efficientnet.runtime.progress_bar import progress_bar
from efficientnet.training import feature_cache, steps
from efficientnet.training.monitoring import HEAD
from efficientnet.training.setup import Experiment

RATES = np.geomspace(1e-6, 10.0, 100, dtype=np.float32)
# Ratio of the loss to that of guessing, above which the test ends before the last rate.
DIVERGED = 4.0


def run(
    experiment: Experiment,
    stage: StageConfig,
    train_step: jax.stages.Wrapped,
    state: steps.TrainState,
    first_step: int,
) -> RangeTest:
    """Trains a copy of a stage's first state at rising rates, and suggests one.

    The batches and the random numbers are those of the stage's first steps, so the result is as
    repeatable as these.

    Args:
      experiment: with the batches.
      stage: whose learning rate to find.
      train_step: of the stage, see `steps.train_program`.
      state: at the first step of the stage, already on the devices.
      first_step: of the stage, counted over all stages.

    Raises:
      UserError: the loss is beyond all bounds from the start.
    """
    images, guessing = experiment.config.batch_size, math.log(len(experiment.data.class_names))
    state = devices.place(state, experiment.mesh)  # a copy, whose memory the steps reuse
    losses: list[float] = []
    diverged = False
    with progress_bar(f"{stage.name}: learning rate", len(RATES) * images) as bar:
        for rate, batch in zip(
            RATES, experiment.train_batches(first_step, len(RATES)), strict=True
        ):
            state, loss = train_step(state, batch, rate)
            bar.update(images)
            # Also where it is not finite.
            diverged = not float(loss) <= DIVERGED * max(guessing, *losses[: range_tests.START], 0)
            if diverged:
                break
            losses.append(float(loss))
    rates = RATES[: len(losses)].tolist()
    fine_tunes = freeze_groups.parse(stage.train) != HEAD
    margin = range_tests.margin(steps.number_of_steps(experiment, stage), fine_tunes)
    suggestion = range_tests.suggestion(rates, losses, guessing, diverged, margin)
    if suggestion is None:
        raise UserError(
            f"the range test of stage {stage.name!r} finds no learning rate, because its loss is "
            "beyond all bounds from the start: give the stage a number, such as learning_rate=1e-3"
        )
    return RangeTest(
        rates=tuple(rates), losses=tuple(losses), guessing=guessing, suggestion=suggestion
    )


def of_stage(experiment: Experiment, number: int, variables: Any) -> RangeTest:
    """Runs the range test of a stage outside of a run.

    Args:
      experiment: without features in place of images.
      number: of the stage, from 0.
      variables: of the network, that the stage starts from.

    Raises:
      UserError: see `run`.
    """
    *before, stage = experiment.config.stages[: number + 1]
    first_step = sum(steps.number_of_steps(experiment, one) for one in before)
    state = steps.initial_state(variables, stage, steps.optimizer_of(experiment, stage))
    state = devices.place(state, experiment.mesh)
    if stage.cached_copies:
        experiment = feature_cache.cached(experiment, state.variables, stage.cached_copies)
    train_step = steps.train_program(experiment, stage, number)
    return run(experiment, stage, train_step, state, first_step)

"""Runs the stages of an experiment: batches in, metrics out, checkpoints on time."""

import collections
import logging
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import optax
from clu.metrics import Collection
from etils import epath
from ml_collections import ConfigDict

from efficientnet.errors import UserError
from efficientnet.model import EfficientNet
from efficientnet.training import feed, metrics, optimizer, schedules, stages, steps
from efficientnet.training.checkpoints import Checkpoints
from efficientnet.training.curves import Curves
from efficientnet.training.evaluation import Evaluator
from efficientnet.training.experiment import Experiment
from efficientnet.training.progress import Progress, Stopwatch, progress_line

log = logging.getLogger(__name__)

# Steps in flight before the host waits for the oldest: enough to hide the dispatch.
IN_FLIGHT = 2
GRID_PHOTOS = 16


class Trainer:
    """Runs an experiment in a workdir, from wherever its checkpoints stand."""

    def __init__(self, experiment: Experiment, workdir: epath.Path) -> None:
        self.experiment = experiment
        self.config = experiment.config
        self.sharding = feed.replicated(experiment.mesh)
        self._evaluator = Evaluator(experiment)
        self.checkpoints = Checkpoints(workdir / "checkpoints")
        saved = self.checkpoints.latest_progress()
        self.progress = Progress(**saved) if saved else Progress()
        self.curves = Curves(workdir / "tensorboard", self.progress.global_step)

    def run(self) -> Progress:
        """Trains the stages that are not finished, and returns the finished run's progress."""
        if self.progress.global_step:
            log.info("resuming after step %d", self.progress.global_step)
        while self.progress.stage < len(self.config.stages):
            self._run_stage(self.config.stages[self.progress.stage])
        self.curves.close()
        self.checkpoints.close()
        return self.progress

    def _run_stage(self, stage: ConfigDict) -> None:
        progress, config, mesh = self.progress, self.config, self.experiment.mesh
        plan = stages.plan(stage)
        num_steps, epoch_ends, schedule = self._schedule(stage)
        transformation = optimizer.make_optimizer(stage, schedule, self.experiment.variant)
        variables = self._place(self._starting_variables())
        state = self._place(steps.create_state(variables, transformation, plan))
        if progress.step:
            state = self.checkpoints.restore_latest(like=state)
        model = self.experiment.model(stage)
        train_step = self._compiled_train_step(stage, model, plan, transformation)
        log.info(
            "stage %s: %s parameters train, %s are frozen; %d steps",
            stage.name,
            *(f"{count:,}" for count in _count(state.params, plan).values()),
            num_steps,
        )

        in_flight: collections.deque[jax.Array] = collections.deque()

        def wait(at_most: int) -> None:
            while len(in_flight) > at_most:
                if not math.isfinite(float(in_flight.popleft())):
                    raise UserError(
                        f"the loss of stage {stage.name!r} is not finite at step "
                        f"{progress.step - len(in_flight)}: take a lower learning_rate and a new "
                        "--workdir"
                    )

        stopwatch = Stopwatch(progress, config.batch_size)
        batches = self.experiment.train_batches(progress.global_step, num_steps - progress.step)
        images, done = num_steps * config.batch_size, progress.step * config.batch_size
        with progress_line(stage.name, images, done) as line:
            for batch in feed.to_devices(batches, mesh):
                if progress.step == 0:
                    self._write_photos(batch["image"])
                state, loss = train_step(state, batch)
                in_flight.append(loss)
                progress.step += 1
                # The first step compiles, and is not timed.
                wait(at_most=IN_FLIGHT if stopwatch.running else 0)
                stopwatch.step_done()
                line.update(config.batch_size)
                if progress.step % config.log_every_steps == 0:
                    rates = {
                        "learning_rate": float(schedule(progress.step - 1)),
                        "images_per_second": stopwatch.recent_rate(),
                    }
                    self._write("train", state.recent_metrics.compute() | rates)
                    state = state.replace(recent_metrics=self._no_metrics())
                epoch = epoch_ends.get(progress.step)
                if epoch is None and progress.step % config.checkpoint_every_steps:
                    continue
                wait(at_most=0)
                stopwatch.stop()
                if epoch is not None:
                    entry = self._end_epoch(stage, epoch, state)
                    line.set_postfix_str(
                        f"loss {entry['train']['loss']:.3f}, "
                        f"validation top-1 {entry['validation']['top1']:.1%}"
                    )
                    state = state.replace(epoch_metrics=self._no_metrics())
                self.curves.flush()
                self.checkpoints.save_latest(progress.global_step, state, progress.to_json())
                stopwatch.start()
        self._end_stage(stage, plan, state)

    def _schedule(self, stage: ConfigDict) -> tuple[int, dict[int, int], optax.Schedule]:
        """Returns a stage's steps, the epoch that ends at a step, and the learning rate."""
        per_epoch = len(self.experiment.data.train) / self.config.batch_size
        num_steps = max(1, round(stage.epochs * per_epoch))
        # Epochs need not be whole batches: each ends with the batch nearest to its end.
        epoch_ends = {
            min(max(1, round(epoch * per_epoch)), num_steps): epoch
            for epoch in range(1, math.ceil(stage.epochs) + 1)
        }
        return num_steps, epoch_ends, schedules.make_schedule(stage, num_steps, per_epoch)

    def _compiled_train_step(
        self,
        stage: ConfigDict,
        model: EfficientNet,
        plan: stages.Plan,
        transformation: optax.GradientTransformation,
    ) -> Callable[..., tuple[steps.TrainState, jax.Array]]:
        step = steps.make_train_step(
            model,
            plan,
            transformation,
            mean=self.experiment.mean,
            std=self.experiment.std,
            label_smoothing=stage.label_smoothing,
            rng=jax.random.fold_in(jax.random.key(self.config.seed), self.progress.stage),
        )
        return jax.jit(step, donate_argnums=0, out_shardings=self.sharding)

    def _starting_variables(self) -> Any:
        """The best variables of the stage before, or those the experiment began with."""
        variables = self.experiment.variables
        if self.progress.stage == 0:
            return variables
        before = self.config.stages[self.progress.stage - 1]
        return self.checkpoints.restore_best(before.name, like=self._place(variables))

    def _place(self, tree: Any) -> Any:
        # Never an alias: the training step gives its input's memory to its output.
        return jax.device_put(tree, self.sharding, may_alias=False)

    def _no_metrics(self) -> Collection:
        return self._place(metrics.TrainMetrics.empty())

    def _write(self, split: str, scalars: Mapping[str, Any]) -> None:
        self.curves.write(split, self.progress.global_step, scalars)

    def _write_photos(self, images: jax.Array) -> None:
        """Shows the first photos of a stage as the network sees them."""
        photos = np.asarray(images.addressable_data(0))[:GRID_PHOTOS]
        self.curves.write_photos(self.progress.global_step + 1, photos)

    def _evaluate(
        self, variables: Mapping[str, Any], split: str
    ) -> tuple[dict[str, float], np.ndarray]:
        """Evaluates on a split, writes the curves, and returns metrics and confusion matrix."""
        values, confusion = self._evaluator(variables, getattr(self.experiment.data, split))
        self._write(split, values)
        return values, confusion

    def _end_epoch(self, stage: ConfigDict, epoch: int, state: steps.TrainState) -> dict[str, Any]:
        """Validates, keeps the weights if they are the best so far, and returns the record."""
        progress = self.progress
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        validation, _ = self._evaluate(variables, "validation")
        entry = {
            "stage": stage.name,
            "epoch": epoch,
            "step": progress.global_step,
            "train": {name: float(v) for name, v in state.epoch_metrics.compute().items()},
            "validation": validation,
        }
        progress.history.append(entry)
        if progress.best is None or _score(stage, entry) > _score(stage, progress.best):
            progress.best = entry
            self.checkpoints.save_best(stage.name, progress.global_step, variables)
        return entry

    def _end_stage(self, stage: ConfigDict, plan: stages.Plan, state: steps.TrainState) -> None:
        """Tests the stage's best weights and moves on."""
        progress = self.progress
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        best = self.checkpoints.restore_best(stage.name, like=variables)
        test, confusion = self._evaluate(best, "test")
        log.info("stage %s: test top-1 %.2f %%", stage.name, 100 * test["top1"])
        assert progress.best is not None
        progress.finish_stage(
            {
                "name": stage.name,
                "epochs": stage.epochs,
                "best_epoch": progress.best["epoch"],
                "steps": progress.step,
                "seconds": progress.seconds,
                "images_per_second": progress.images_per_second,
                "parameters": _count(state.params, plan),
                "metrics": {"test": test, "validation": progress.best["validation"]},
                "confusion": confusion.tolist(),
            }
        )


def _score(stage: ConfigDict, entry: Mapping[str, Any]) -> tuple[float, ...]:
    """Orders epochs: by accuracy and, where it ties, by loss; or by loss alone."""
    validation = entry["validation"]
    if stage.monitor == "loss":
        return (-validation["loss"],)
    return validation["top1"], -validation["loss"]


def _count(params: Mapping[str, Any], plan: stages.Plan) -> dict[str, int]:
    """Counts the scalars that train and those that don't."""
    names = ("trainable", "frozen")
    return {
        name: sum(leaf.size for leaf in jax.tree.leaves(part))
        for name, part in zip(names, stages.split_params(params, plan), strict=True)
    }

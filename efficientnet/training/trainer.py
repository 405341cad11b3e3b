"""Runs the stages of an experiment: batches in, metrics out, checkpoints on time."""

import contextlib
import logging
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from clu.metrics import Collection
from etils import epath
from tqdm import tqdm

from efficientnet.config import StageConfig, may_change
from efficientnet.metrics import METRICS
from efficientnet.reporting.runs import PREDICTIONS
from efficientnet.runtime import devices, distributed
from efficientnet.runtime.huge_pages import release_free_memory
from efficientnet.runtime.preemption import Stop, Stopped
from efficientnet.training import (
    evaluate,
    feature_cache,
    monitoring,
    programs,
    stages,
    steps,
)
from efficientnet.training.checkpoints import Agenda, Checkpoints
from efficientnet.training.losses import BatchMetrics
from efficientnet.training.monitoring import LossGuard, check_first_epoch
from efficientnet.training.progress import Progress, Stopwatch, progress_line
from efficientnet.training.setup import Experiment
from efficientnet.training.tensorboard import Curves, Profiler

log = logging.getLogger(__name__)

# Steps in flight before the host waits for the oldest: enough to hide the dispatch.
IN_FLIGHT = 2
GRID_PHOTOS = 16


class Trainer:
    """Runs an experiment in a workdir, from wherever its checkpoints stand."""

    def __init__(self, experiment: Experiment, workdir: epath.Path, stop: Stop) -> None:
        self.experiment = experiment
        self.config = experiment.config
        self.sharding = devices.replicated(experiment.mesh)
        self._stop, self._agenda = stop, Agenda(self.config, stop)
        self._evaluator = self._validator = evaluate.for_experiment(experiment, stop)
        self._predictions = workdir / PREDICTIONS
        self.checkpoints = Checkpoints(workdir / "checkpoints", self.config.keep_checkpoints)
        saved = self.checkpoints.resume()
        self.progress = Progress.from_json(saved) if saved else Progress()
        if distributed.leads():  # whose list was saved; each process counts its own
            skipped = experiment.batches.skipped
            skipped.extend(n for n in self.progress.unreadable if n not in skipped)
        progress = self.progress
        self.curves = Curves(workdir / "tensorboard", progress.global_step, progress.validated)
        self._profiler = Profiler(self.config, workdir / "tensorboard")
        fields = self.config.to_json().items()
        self.curves.write_hyperparameters(
            {name: value for name, value in fields if f"config.{name}" not in may_change()}
        )
        self._last: Any = None  # weights that the stage just finished ended with

    def run(self) -> Progress:
        """Trains the stages that are not finished, and returns the finished run's progress."""
        if self.progress.global_step:
            log.info("resuming after step %d", self.progress.global_step)
        with (
            contextlib.closing(self.checkpoints),
            contextlib.closing(self.curves),
            contextlib.closing(self._profiler),
        ):
            while self.progress.stage < len(self.config.stages):
                self._run_stage(self.config.stages[self.progress.stage])
        return self.progress

    def _run_stage(self, stage: StageConfig) -> None:
        progress = self.progress
        self._stopwatch = Stopwatch(progress, self.config.batch_size)
        course = programs.course(self.experiment, stage)
        state = self._place(programs.initial_state(self._start_variables(stage), stage, course))
        if progress.step:
            state = self.checkpoints.restore_latest(like=state)
        experiment, self._validator = self.experiment, self._evaluator
        if stage.cached_copies:
            experiment = feature_cache.cached(experiment, state.variables, stage.cached_copies)
            self._validator = evaluate.for_experiment(experiment, self._stop)
        log.info(
            "stage %s: %s parameters train, %s are frozen; %d steps",
            stage.name,
            *(f"{count:,}" for count in stages.count_params(state.params, course.plan).values()),
            course.num_steps,
        )
        state = self._train(experiment, stage, course, state)
        self.checkpoints.wait()
        self._stopwatch.lap()
        self._stop.safe = True
        try:
            self._end_stage(stage, course.plan, state)
        except evaluate.Interrupted as error:
            raise self._stopped() from error

    def _train(
        self,
        experiment: Experiment,
        stage: StageConfig,
        course: programs.Course,
        state: steps.TrainState,
    ) -> steps.TrainState:
        """Takes the steps that a stage has left, and validates and saves on time."""
        progress, config, stopwatch = self.progress, self.config, self._stopwatch
        train_step = programs.train_program(experiment, stage, course, progress.stage)
        guard = LossGuard(stage, progress, config.skip_steps)
        images, done = course.num_steps * config.batch_size, progress.step * config.batch_size
        with progress_line(stage.name, images, done) as line:
            if progress.step in course.epoch_ends and not progress.validated:
                state = self._end_epoch(stage, course.epoch_ends[progress.step], state, line)
            remaining = 0 if progress.monitor.stopped else course.num_steps - progress.step
            for batch in experiment.train_batches(progress.global_step, remaining):
                if progress.step == 0 and not stage.cached_copies:
                    self._write_photos(batch["image"])
                state, loss = train_step(state, batch, progress.monitor.rate_scale)
                self._stop.safe = False
                guard.add(loss)
                progress.step += 1
                if stopwatch.running:
                    guard.wait(at_most=IN_FLIGHT)
                else:  # the first step compiles, and is not timed
                    guard.wait(at_most=0)
                    release_free_memory()
                stopwatch.step_done()
                self._profiler.step_done(progress.global_step, loss)
                line.update(config.batch_size)
                if progress.step % config.log_every_steps == 0:
                    state = self._write_recent(course, state)
                epoch = course.epoch_ends.get(progress.step)
                if not self._agenda.save_is_due(progress.global_step) and epoch is None:
                    continue
                guard.wait(at_most=0)
                stopwatch.stop()
                if epoch is not None:
                    state = self._end_epoch(stage, epoch, state, line)
                self._save(state)
                if progress.monitor.stopped:
                    log.info("stage %s ends early, after epoch %d", stage.name, epoch)
                    break
                stopwatch.start()
        return state

    def _save(self, state: steps.TrainState) -> None:
        step = self.progress.global_step
        self.curves.flush()
        self._stopwatch.lap()
        self.progress.unreadable = list(self.experiment.batches.skipped)
        self.checkpoints.save_latest(step, state, self.progress.to_json())
        self._agenda.saved()
        if self._agenda.stops:
            raise self._stopped()

    def _stopped(self) -> Stopped:
        step = self.progress.global_step
        return Stopped(f"stopped after step {step}, which is saved; the same command resumes")

    def _start_variables(self, stage: StageConfig) -> Any:
        """The weights that a stage starts from, from what the stage before hands over.

        In the middle of a stage any will do: its checkpoint is restored in their structure.
        """
        variables = self.experiment.variables
        if self.progress.stage and not self.progress.step:
            before = self.config.stages[self.progress.stage - 1]
            if stage.start == "last" and self._last is not None:
                variables = self._last
            else:
                variables = self.checkpoints.restore_best(before.name, like=self._place(variables))
        self._last = None
        return self._place(variables)

    def _place(self, tree: Any) -> Any:
        # Never an alias: the training step gives its input's memory to its output.
        return jax.device_put(tree, self.sharding, may_alias=False)

    def _no_metrics(self) -> Collection:
        return self._place(BatchMetrics.empty())

    def _write(self, split: str, scalars: Mapping[str, Any]) -> None:
        self.curves.write(split, self.progress.global_step, scalars)

    def _write_recent(self, course: programs.Course, state: steps.TrainState) -> steps.TrainState:
        """Draws what the steps since the last time were like."""
        rate = float(course.schedule(self.progress.step - 1)) * self.progress.monitor.rate_scale
        rates = {"learning_rate": rate, "images_per_second": self._stopwatch.recent_rate()}
        self._write("train", state.recent_metrics.compute() | rates)
        return state.replace(recent_metrics=self._no_metrics())

    def _write_photos(self, images: jax.Array) -> None:
        """Shows the first photos of a stage as the network sees them."""
        photos = np.asarray(images.addressable_data(0))[:GRID_PHOTOS]
        self.curves.write_images("train", self.progress.global_step + 1, {"photos": photos})

    def _end_epoch(
        self, stage: StageConfig, epoch: int, state: steps.TrainState, line: tqdm
    ) -> steps.TrainState:
        """Ends an epoch; a run that is asked to stop leaves that to the one that resumes it."""
        if self._agenda.stops:
            return state
        try:
            entry = self._validate(stage, epoch, state)
        except evaluate.Interrupted:
            self._agenda.save_is_due(self.progress.global_step)
            return state
        line.set_postfix_str(
            f"loss {entry['train']['loss']:.3f}, validation {_said(stage, entry[entry['chosen']])}"
        )
        return state.replace(epoch_metrics=self._no_metrics())

    def _validate(self, stage: StageConfig, epoch: int, state: steps.TrainState) -> dict[str, Any]:
        """Validates, keeps the weights if they are the best so far, and returns the record."""
        progress = self.progress
        trained = {name: float(value) for name, value in state.epoch_metrics.compute().items()}
        if epoch == 1 and self.config.weights:
            check_first_epoch(stage, trained["loss"], len(self.experiment.data.class_names))
        candidates = {"validation": state.variables}
        if stage.ema_decay:
            candidates["validation_ema"] = state.averaged_variables
        measured = {}
        for name, variables in candidates.items():
            measured[name], _ = self._validator(variables, self.experiment.data.validation)
            self._write(name, measured[name])
        trainable, _ = stages.split_params(state.params, stages.plan(stage))
        self.curves.write_histograms(progress.global_step, trainable)
        chosen = max(measured, key=lambda name: monitoring.score(stage, measured[name]))
        entry = {
            "stage": stage.name,
            "epoch": epoch,
            "step": progress.global_step,
            "rate_scale": progress.monitor.rate_scale,
            "train": trained,
            **measured,
            "chosen": chosen,  # which of the above counts
        }
        progress.history.append(entry)
        progress.monitor.update(stage, measured[chosen])
        best = progress.best
        score = monitoring.score(stage, measured[chosen])
        if best is None or score > monitoring.score(stage, best[best["chosen"]]):
            progress.best = entry
            self.checkpoints.save_best(stage.name, progress.global_step, candidates[chosen])
        return entry

    def _end_stage(self, stage: StageConfig, plan: stages.Plan, state: steps.TrainState) -> None:
        """Tests the stage's best weights and moves on."""
        progress = self.progress
        self._last = state.averaged_variables if stage.ema_decay else state.variables
        best = self.checkpoints.restore_best(stage.name, like=state.variables)
        test = evaluate.examine(
            self.experiment,
            self._evaluator,
            best,
            self._predictions / f"{stage.name}.npz",
            self.curves,
            progress.global_step,
        )
        log.info("stage %s: test %s", stage.name, _said(stage, test))
        entry = progress.best
        assert entry is not None
        progress.finish_stage(
            {
                "name": stage.name,
                "epochs": progress.history[-1]["epoch"]
                if progress.monitor.stopped
                else stage.epochs,
                "best_epoch": entry["epoch"],
                "weights": "moving average" if entry["chosen"] == "validation_ema" else "plain",
                "steps": progress.step,
                "seconds": progress.seconds,
                "images_per_second": progress.images_per_second,
                "parameters": stages.count_params(state.params, plan),
                "metrics": {"test": test, "validation": entry[entry["chosen"]]},
                "selected_on": self.config.data.validation_split or "photos held out of training",
            }
        )


def _said(stage: StageConfig, values: Mapping[str, float]) -> str:
    """Says what the metric that a stage monitors has come to."""
    metric = METRICS[stage.monitor]
    return f"{metric.heading.lower()} {metric.exact(values[metric.name])}"

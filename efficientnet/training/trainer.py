"""The training loop: runs the stages of an experiment, with metrics and checkpoints."""

import contextlib
import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from clu import metric_writers
from clu.metrics import Collection
from etils import epath
from tqdm import tqdm

from efficientnet.config import StageConfig, may_change
from efficientnet.metrics import METRICS
from efficientnet.network import freeze_groups
from efficientnet.network.freeze_groups import split_params
from efficientnet.paths import write_whole
from efficientnet.records import (
    EpochRecord,
    Progress,
    RangeTest,
    StageMetrics,
    StageResult,
)
from efficientnet.reporting import plots, range_tests
from efficientnet.reporting.runs import PREDICTIONS, RATES
from efficientnet.runtime import devices, distributed
from efficientnet.runtime.huge_pages import release_free_memory
from efficientnet.runtime.preemption import Stop, Stopped
from efficientnet.runtime.progress_bar import progress_bar
from efficientnet.training import (
    broken_photos,
    evaluate,
    feature_cache,
    monitoring,
    range_test,
    steps,
)
from efficientnet.training.checkpoints import CheckpointPolicy, Checkpoints
from efficientnet.training.losses import BatchMetrics
from efficientnet.training.monitoring import NanGuard, check_fine_tuning
from efficientnet.training.setup import Experiment
from efficientnet.training.stopwatch import Stopwatch
from efficientnet.training.tensorboard import Profiler, TensorBoardWriter, parameter_histograms
from efficientnet.training.trackers.tracker import Tracker

log = logging.getLogger(__name__)

# Steps in flight before the host waits for the oldest: enough to hide dispatch.
IN_FLIGHT = 2
GRID_IMAGES = 16


class Trainer:
    """Runs an experiment in a workdir, resuming from its checkpoints."""

    def __init__(
        self,
        experiment: Experiment,
        workdir: epath.Path,
        stop: Stop,
        trackers: Sequence[Tracker] = (),
    ) -> None:
        self.experiment = experiment
        self.config = experiment.config
        self._stop, self._policy = stop, CheckpointPolicy(self.config, stop)
        self._evaluator = self._validator = evaluate.for_experiment(experiment, stop)
        self._workdir = workdir
        self.checkpoints = Checkpoints(workdir / "checkpoints", self.config.keep_checkpoints)
        self.progress = self.checkpoints.resume() or Progress()  # only the trainer changes it
        if distributed.leads():  # the list of the first process was saved; each process has its own
            skipped = experiment.batches.skipped
            skipped.extend(n for n in self.progress.unreadable if n not in skipped)
        progress = self.progress
        self._tensorboard = TensorBoardWriter(
            workdir / "tensorboard", progress.global_step, progress.validated
        )
        points = list(self._tensorboard.points()) if trackers else []
        for tracker in trackers:
            tracker.catch_up(points)
        self._writer = metric_writers.MultiWriter([self._tensorboard, *trackers])
        self._profiler = Profiler(self.config, workdir / "tensorboard")
        fields = self.config.to_json().items()
        self._writer.write_hparams(
            {name: value for name, value in fields if f"config.{name}" not in may_change()}
        )
        self._last: Any = None  # the last weights of the stage just finished

    def run(self) -> Progress:
        """Trains the stages that are not finished, and returns the finished run's progress."""
        if self.progress.global_step:
            log.info("resuming after step %d", self.progress.global_step)
        with (
            contextlib.closing(self.checkpoints),
            contextlib.closing(self._tensorboard),
            contextlib.closing(self._profiler),
        ):
            while self.progress.stage < len(self.config.stages):
                self._run_stage(self.config.stages[self.progress.stage])
        return self.progress

    def _move_on(self, **changes: Any) -> None:
        self.progress = dataclasses.replace(self.progress, **changes)

    def _take_times(self) -> None:
        watch = self._stopwatch
        watch.lap()
        self._move_on(
            seconds=watch.seconds,
            timed_images=watch.timed_images,
            timed_seconds=watch.timed_seconds,
        )

    def _run_stage(self, stage: StageConfig) -> None:
        self._stopwatch = Stopwatch(self.progress, self.config.batch_size)
        optimizer = steps.optimizer_of(self.experiment, stage)
        # One program, because one for each shape would take seconds to compile at every start.
        create = jax.jit(lambda variables: steps.initial_state(variables, stage, optimizer))
        state = self._place(create(self._start_variables(stage)))
        if self.progress.step:
            state = self.checkpoints.restore_latest(like=state)
        experiment, self._validator = self.experiment, self._evaluator
        if stage.cached_copies:
            experiment = feature_cache.cached(experiment, state.variables, stage.cached_copies)
            self._validator = evaluate.for_experiment(experiment, self._stop)
        train_step = steps.train_program(experiment, stage, self.progress.stage)
        if stage.learning_rate == "auto":
            found = self.progress.range_test
            if found is None:
                found = self._test_rates(experiment, stage, train_step, state)
            rate = found.suggestion
            log.info("stage %s: learning rate %g, found by a range test", stage.name, rate)
            stage = dataclasses.replace(stage, learning_rate=rate)
        schedule = steps.stage_schedule(experiment, stage)
        counts = steps.count_params(state.params, stage)
        log.info(
            "stage %s: %s parameters train, %s are frozen; %d steps",
            stage.name,
            f"{counts.trainable:,}",
            f"{counts.frozen:,}",
            schedule.num_steps,
        )
        state = self._train(experiment, stage, schedule, train_step, state)
        self.checkpoints.wait()
        self._take_times()
        self._stop.safe = True
        try:
            self._end_stage(stage, state)
        except evaluate.Interrupted as error:
            raise self._stopped() from error

    def _test_rates(
        self,
        experiment: Experiment,
        stage: StageConfig,
        train_step: jax.stages.Wrapped,
        state: steps.TrainState,
    ) -> RangeTest:
        """Runs and draws a stage's range test, and keeps it for runs that resume the stage."""
        first_step = self.progress.global_step
        found = range_test.run(experiment, stage, train_step, state, first_step)
        self._move_on(range_test=found)
        if distributed.leads():
            plot = self._workdir / RATES / f"{stage.name}.png"
            plot.parent.mkdir(exist_ok=True)
            write_whole(plot, plots.png(range_tests.draw(found, stage.name)))
        return found

    def _train(
        self,
        experiment: Experiment,
        stage: StageConfig,
        schedule: steps.StageSchedule,
        train_step: jax.stages.Wrapped,
        state: steps.TrainState,
    ) -> steps.TrainState:
        """Runs the remaining steps of a stage, with validation and checkpoints."""
        progress, config, stopwatch = self.progress, self.config, self._stopwatch
        nan_guard = NanGuard(stage, progress.skipped, config.skip_steps)
        images, done = schedule.num_steps * config.batch_size, progress.step * config.batch_size
        with progress_bar(stage.name, images, done) as bar:
            if progress.step in schedule.epoch_ends and not progress.validated:
                state = self._end_epoch(stage, schedule, state, bar)
            remaining = 0 if self.progress.monitor.stopped else schedule.num_steps - progress.step
            for batch in experiment.train_batches(progress.global_step, remaining):
                if self.progress.step == 0 and not stage.cached_copies:
                    self._write_images(batch["image"])
                rate = schedule.learning_rates[self.progress.step] * self.progress.monitor.lr_scale
                state, loss = train_step(state, batch, rate)
                self._stop.safe = False
                self._move_on(step=self.progress.step + 1)
                nan_guard.add(self.progress.step, loss)
                if stopwatch.running:
                    nan_guard.wait(at_most=IN_FLIGHT)
                else:  # the first step compiles and is not timed
                    nan_guard.wait(at_most=0)
                    release_free_memory()
                stopwatch.step_done()
                self._profiler.step_done(self.progress.global_step, loss)
                bar.update(config.batch_size)
                if self.progress.step % config.log_every_steps == 0:
                    state = self._write_recent(schedule, state)
                epoch = schedule.epoch_ends.get(self.progress.step)
                if not self._policy.save_is_due(self.progress.global_step) and epoch is None:
                    continue
                nan_guard.wait(at_most=0)
                self._move_on(skipped=nan_guard.skipped)
                stopwatch.stop()
                if epoch is not None:
                    state = self._end_epoch(stage, schedule, state, bar)
                self._save(state)
                if self.progress.monitor.stopped:
                    log.info("stage %s ends early, after epoch %d", stage.name, epoch)
                    break
                stopwatch.start()
        return state

    def _save(self, state: steps.TrainState) -> None:
        step = self.progress.global_step
        self._writer.flush()
        self._take_times()
        broken_photos.remember(self._workdir, self.experiment.batches)
        self._move_on(unreadable=tuple(self.experiment.batches.skipped))
        self.checkpoints.save_latest(step, state, self.progress)
        self._policy.saved()
        if self._policy.stops:
            raise self._stopped()

    def _stopped(self) -> Stopped:
        step = self.progress.global_step
        return Stopped(f"stopped after step {step}, which is saved; the same command resumes")

    def _start_variables(self, stage: StageConfig) -> Any:
        """Returns the weights that a stage starts from: those of the previous stage.

        In the middle of a stage only their structure matters, for restoring its checkpoint.
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
        return devices.place(tree, self.experiment.mesh)

    def _no_metrics(self) -> Collection:
        return self._place(BatchMetrics.empty())

    def _write(self, split: str, scalars: Mapping[str, Any]) -> None:
        values = {f"{split}/{name}": value for name, value in scalars.items()}
        self._writer.write_scalars(self.progress.global_step, values)

    def _write_recent(
        self, schedule: steps.StageSchedule, state: steps.TrainState
    ) -> steps.TrainState:
        """Writes the metrics of the steps since the last call to TensorBoard."""
        progress = self.progress
        rate = float(schedule.learning_rates[progress.step - 1]) * progress.monitor.lr_scale
        rates = {"learning_rate": rate, "images_per_second": self._stopwatch.recent_rate()}
        self._write("train", state.recent_metrics.compute() | rates)
        return state.replace(recent_metrics=self._no_metrics())

    def _write_images(self, images: jax.Array) -> None:
        """Writes the first images of a stage, as the network sees them, to TensorBoard."""
        photos = np.asarray(images.addressable_data(0))[:GRID_IMAGES]
        self._writer.write_images(self.progress.global_step + 1, {"train/photos": photos})

    def _end_epoch(
        self,
        stage: StageConfig,
        schedule: steps.StageSchedule,
        state: steps.TrainState,
        bar: tqdm,
    ) -> steps.TrainState:
        """Ends an epoch; if the run is to stop, leaves that to the run that resumes it."""
        if self._policy.stops:
            return state
        try:
            record = self._validate(stage, schedule, state)
        except evaluate.Interrupted:
            self._policy.save_is_due(self.progress.global_step)
            return state
        bar.set_postfix_str(
            f"loss {record.train['loss']:.3f}, validation {_said(stage, record.validated)}"
        )
        return state.replace(epoch_metrics=self._no_metrics())

    def _validate(
        self, stage: StageConfig, schedule: steps.StageSchedule, state: steps.TrainState
    ) -> EpochRecord:
        """Validates, saves the weights if they are the best so far, and returns the record."""
        progress = self.progress
        trained = {name: float(value) for name, value in state.epoch_metrics.compute().items()}
        if self.config.weights:
            validated = progress.history[-1].step if progress.history else 0
            check_fine_tuning(
                stage,
                trained["loss"],
                len(self.experiment.data.class_names),
                steps_before=validated - progress.steps_before,
                steps=progress.step,
            )
        candidates = {"validation": state.variables}
        if stage.ema_decay:
            candidates["validation_ema"] = state.averaged_variables
        measured = {}
        for name, variables in candidates.items():
            measured[name], _ = self._validator(variables, self.experiment.data.validation)
            self._write(name, measured[name])
        trainable, _ = split_params(state.params, freeze_groups.trainable(stage))
        self._writer.write_histograms(progress.global_step, parameter_histograms(trainable))
        chosen = max(measured, key=lambda name: monitoring.score(stage, measured[name]))
        record = EpochRecord(
            stage=stage.name,
            epoch=schedule.epoch_ends[progress.step],
            step=progress.global_step,
            lr_scale=progress.monitor.lr_scale,
            train=trained,
            **measured,
            chosen=chosen,
            learning_rate=schedule.mean_rate(progress.step) * progress.monitor.lr_scale,
        )
        self._move_on(
            history=(*progress.history, record),
            monitor=monitoring.update(progress.monitor, stage, record.validated),
        )
        best = progress.best
        score = monitoring.score(stage, record.validated)
        if best is None or score > monitoring.score(stage, best.validated):
            self._move_on(best=record)
            self.checkpoints.save_best(stage.name, progress.global_step, candidates[chosen])
        return record

    def _end_stage(self, stage: StageConfig, state: steps.TrainState) -> None:
        """Tests the stage's best weights and moves on."""
        progress = self.progress
        self._last = state.averaged_variables if stage.ema_decay else state.variables
        best = self.checkpoints.restore_best(stage.name, like=state.variables)
        test = evaluate.test_stage(
            self.experiment,
            self._evaluator,
            best,
            self._workdir / PREDICTIONS / f"{stage.name}.npz",
            self._writer,
            progress.global_step,
        )
        log.info("stage %s: test %s", stage.name, _said(stage, test))
        record = progress.best
        assert record is not None
        stopped = progress.monitor.stopped
        result = StageResult(
            name=stage.name,
            epochs=progress.history[-1].epoch if stopped else stage.epochs,
            best_epoch=record.epoch,
            weights="moving average" if record.chosen == "validation_ema" else "plain",
            steps=progress.step,
            seconds=progress.seconds,
            images_per_second=progress.images_per_second,
            parameters=steps.count_params(state.params, stage),
            metrics=StageMetrics(test=test, validation=record.validated),
            selected_on=self.experiment.data.selected_on,
            range_test=progress.range_test,
        )
        self.progress = progress.next_stage(result)


def _said(stage: StageConfig, values: Mapping[str, float]) -> str:
    """Returns the name and value of the metric that a stage monitors."""
    metric = METRICS[stage.monitor]
    return f"{metric.heading.lower()} {metric.exact(values[metric.name])}"

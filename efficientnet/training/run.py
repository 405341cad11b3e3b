"""A whole run in its workdir: trains what is not trained yet, then writes the report."""

import dataclasses
import importlib.metadata
import json
import logging
import platform

import jax
from etils import epath

from efficientnet import records
from efficientnet.config import RunConfig
from efficientnet.paths import reaching_buckets
from efficientnet.records import NetworkRecord, Progress, RunSummary, SplitSizes
from efficientnet.reporting import report, runs, tables
from efficientnet.runtime import accelerators, distributed, failures, provenance
from efficientnet.runtime.preemption import Stop
from efficientnet.runtime.provenance import Provenance, WeightsOrigin
from efficientnet.training import broken_photos, pinning, setup, trackers, workdir
from efficientnet.training.start import NOTHING, Opened
from efficientnet.training.trainer import Trainer
from input_pipeline.sources.split import stamp_of

log = logging.getLogger(__name__)

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
COVERED = "class names, and names, labels and order of the photos of each split; not their contents"
SHOWN_CHANGES = 3


@reaching_buckets()
def run(
    config: RunConfig, path: str, opened: Opened = NOTHING, stop: Stop | None = None
) -> RunSummary:
    """Trains a config to its end, resuming from what the workdir already holds.

    Args:
      config: of the run.
      path: the workdir, which will hold `config.json`, `network.json`, `provenance.json`,
        `checkpoints/`, `tensorboard/`, `predictions/`, `summary.json` and `report/index.html`.
      opened: what is open already.
      stop: listens for signals; by default, one that may end the process.

    Returns:
      The content of `summary.json`.

    Raises:
      UserError: something that the user can fix.
      Stopped: a signal arrived, and the state is saved.
    """
    config = workdir.as_begun(path, config)
    setup.check(config)
    folder = workdir.open_workdir(path, config)
    summary = workdir.finished_summary(folder, config)
    if summary:
        log.info("this run is finished: nothing is left to train")
    else:
        stop = stop or Stop(alone=jax.process_count() == 1)
        with failures.explained(folder, workdir.LOCK), workdir.locked(folder), stop:
            summary = _train(config, folder, opened, stop)
    log.info("%s", tables.stage_table(summary.stages))
    if caution := runs.Run(folder, config, summary).caution:
        log.warning("%s", caution)
    log.info("results: %s, curves: tensorboard --logdir %s", folder / report.PAGE, folder)
    return summary


def _train(config: RunConfig, folder: epath.Path, opened: Opened, stop: Stop) -> RunSummary:
    trackers.check(config)
    accelerators.warn_of_idle()
    config = pinning.pinned(config)
    prepared = setup.prepare(config, folder, opened)
    network = _network(prepared)
    workdir.write_config(folder, config, network)
    origin = _note_start(folder, network, prepared.weights) if distributed.leads() else None
    if prepared.photos and distributed.leads():
        records.write(folder / broken_photos.RECORD, prepared.photos)
    with trackers.opened(config, folder, origin) as told:
        try:
            progress = Trainer(prepared, folder, stop, told).run()
        finally:
            broken_photos.remember(folder, prepared.batches)
        summary = _summary(prepared, progress, origin)
        if distributed.leads():
            report.write_report(runs.Run(folder, config, summary), prepared.data.splits)
            for tracker in told:
                tracker.finish(progress.global_step, _results(progress), folder / report.PAGE)
            records.write(folder / runs.SUMMARY, summary)
    return summary


def _summary(
    prepared: setup.Experiment, progress: Progress, origin: Provenance | None
) -> RunSummary:
    data = prepared.data
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return RunSummary(
        stages=progress.finished,
        history=progress.history,
        photos=SplitSizes(
            train=len(data.train), validation=len(data.validation), test=len(data.test)
        ),
        classes=len(data.class_names),
        devices=provenance.devices(),
        processes=jax.process_count(),
        versions={"python": platform.python_version(), **versions},
        skipped_photos=tuple(sorted(set(prepared.batches.skipped)))
        if prepared.config.data.broken_limit
        else None,
        provenance=origin,
    )


def _results(progress: Progress) -> dict[str, float]:
    """Returns what trackers list of a finished run: the results and costs of its last stage."""
    last = progress.finished[-1]
    values = {
        **last.metrics.test,
        "trainable_parameters": last.parameters.trainable,
        "images_per_second": last.images_per_second,
        "seconds": sum(stage.seconds for stage in progress.finished),
    }
    return {f"final/{name}": value for name, value in values.items()}


def _note_start(
    folder: epath.Path, network: NetworkRecord, weights: WeightsOrigin | None = None
) -> Provenance:
    """Adds this start to the record of where the run's results come from; a new run gets an id."""
    digest = stamp_of(json.dumps(records.to_json([network.class_names, network.data])))
    now, known = provenance.environment(), runs.read_provenance(folder)
    if known:
        changes = list(now.changes_since(known.latest))
        if changes:
            more = len(changes) - SHOWN_CHANGES
            others = f", and {more} more changes" if more > 0 else ""
            log.info("this run goes on with %s%s", ", ".join(changes[:SHOWN_CHANGES]), others)
        # The data and the weights may have changed as long as there was no checkpoint.
        if workdir.has_checkpoint(folder):
            weights = known.weights
        known = dataclasses.replace(known, data_digest=digest, weights=weights)
    else:
        known = Provenance(
            run_id=provenance.new_run_id(),
            data_digest=digest,
            data_covers=COVERED,
            weights=weights,
        )
    origin = known.started(now)
    records.write(folder / runs.PROVENANCE, origin)
    return origin


def _network(experiment: setup.Experiment) -> NetworkRecord:
    """Returns what is needed to load the network besides the config, and describes the data."""
    return NetworkRecord(
        class_names=tuple(experiment.data.class_names),
        resolution=experiment.resolution,
        padding=experiment.padding,
        bn_epsilon=experiment.bn_epsilon,
        mean=tuple(experiment.mean.tolist()),
        std=tuple(experiment.std.tolist()),
        data=dict(experiment.identity),
    )

"""A whole run in its workdir: train what is not trained yet, then report."""

import logging
from typing import Any

import jax
from etils import epath
from ml_collections import ConfigDict

from efficientnet import reporting
from efficientnet.training import checks, distributed, experiment, faults, trained, workdir
from efficientnet.training.loop import Trainer
from efficientnet.training.signals import Stop

log = logging.getLogger(__name__)


def run(config: ConfigDict, path: str) -> dict[str, Any]:
    """Runs a config to its end, resuming what the workdir already holds.

    Args:
      config: a recipe, see configs/common.py.
      path: the workdir, which gets `config.json`, `network.json`, `checkpoints/`, `tensorboard/`,
        `summary.json` and `report/`.

    Returns:
      The content of `summary.json`.

    Raises:
      UserError: something the user can mend, in one sentence.
      Stopped: a signal has come, and the state is saved.
    """
    checks.check(config)
    folder = workdir.open_workdir(path, config)
    summary = workdir.finished_summary(folder, config)
    if summary:
        log.info("this run is finished: nothing is left to train")
    else:
        alone = jax.process_count() == 1
        with faults.explained(folder), workdir.locked(folder), Stop(alone) as stop:
            summary = _train(config, folder, stop)
    log.info("%s", reporting.stage_table(summary["stages"]))
    log.info("results: %s, curves: tensorboard --logdir %s", folder / "report", folder)
    return summary


def _train(config: ConfigDict, folder: epath.Path, stop: Stop) -> dict[str, Any]:
    prepared = experiment.prepare(config)
    workdir.write_config(folder, config, trained.record(prepared))
    progress = Trainer(prepared, folder, stop).run()
    results = [{k: v for k, v in s.items() if k != "confusion"} for s in progress.finished]
    summary = {"status": "finished", "stages": results}
    if distributed.leads():
        reporting.write_report(
            folder / "report", progress.history, progress.finished, prepared.data.class_names
        )
        workdir.write_json(folder / workdir.SUMMARY, summary)
    return summary

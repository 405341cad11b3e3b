"""A whole run in its workdir: train what is not trained yet, then report."""

import logging
from typing import Any

from ml_collections import ConfigDict

from efficientnet import reporting
from efficientnet.training import checks, experiment, workdir
from efficientnet.training.loop import Trainer

log = logging.getLogger(__name__)


def run(config: ConfigDict, path: str) -> dict[str, Any]:
    """Runs a config to its end, resuming what the workdir already holds.

    Args:
      config: a recipe, see configs/common.py.
      path: the workdir, which gets `config.json`, `checkpoints/`, `tensorboard/`, `summary.json`
        and `report/`.

    Returns:
      The content of `summary.json`.

    Raises:
      UserError: something the user can mend, in one sentence.
    """
    checks.check(config)
    folder = workdir.open_workdir(path, config)
    summary = workdir.finished_summary(folder)
    if summary:
        log.info("this run is finished: nothing is left to train")
    else:
        prepared = experiment.prepare(config)
        workdir.write_config(folder, config)
        progress = Trainer(prepared, folder).run()
        reporting.write_report(
            folder / "report", progress.history, progress.finished, prepared.data.class_names
        )
        results = [{k: v for k, v in s.items() if k != "confusion"} for s in progress.finished]
        summary = {"status": "finished", "stages": results}
        workdir.write_json(folder / "summary.json", summary)
    log.info("%s", reporting.stage_table(summary["stages"]))
    log.info("results: %s, curves: tensorboard --logdir %s", folder / "report", folder)
    return summary

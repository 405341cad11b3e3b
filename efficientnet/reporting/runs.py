"""What a finished run has left in its workdir."""

import dataclasses
import json
from typing import Any

from etils import epath
from ml_collections import ConfigDict

from efficientnet.errors import UserError
from efficientnet.paths import absolute
from efficientnet.reporting import predictions
from efficientnet.reporting.predictions import Predictions

CONFIG = "config.json"
SUMMARY = "summary.json"
PREDICTIONS = "predictions"


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
      folder: the workdir.
      config: the content of `config.json`.
      summary: the content of `summary.json`: 'stages', 'history' (one entry an epoch), and what
        it ran on.
    """

    folder: epath.Path
    config: ConfigDict
    summary: dict[str, Any]

    @property
    def name(self) -> str:
        """The workdir's own name."""
        return self.folder.name

    @property
    def stages(self) -> list[dict[str, Any]]:
        """The summaries of the stages, in order."""
        return self.summary["stages"]

    @property
    def history(self) -> list[dict[str, Any]]:
        """One entry an epoch: 'stage', 'train' metrics, and those under the name in 'chosen'."""
        return self.summary["history"]

    def predictions(self, stage: str) -> Predictions:
        """What a stage's best weights say about the test photos.

        Raises:
          UserError: they are missing or damaged.
        """
        return predictions.load(self.folder / PREDICTIONS / f"{stage}.npz")


def load(path: str) -> Run:
    """Reads a workdir.

    Raises:
      UserError: there is no run in it, or it is not finished.
    """
    folder = absolute(path)
    if not (folder / CONFIG).exists():
        raise UserError(f"{path} is no workdir of a run: it has no {CONFIG}")
    if not (folder / SUMMARY).exists():
        raise UserError(f"the run in {path} is not finished: start its command again first")
    config, summary = (json.loads((folder / name).read_text()) for name in (CONFIG, SUMMARY))
    if "history" not in summary:
        raise UserError(
            f"the run in {path} is of an earlier version, which kept no curves and predictions: "
            "train it again"
        )
    return Run(folder, ConfigDict(config), summary)

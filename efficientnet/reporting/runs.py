"""What a finished run has left in its workdir."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from typing import Any

from etils import epath

from efficientnet.config import RunConfig
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
    config: RunConfig
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


@contextlib.contextmanager
def reading(path: epath.Path) -> Iterator[None]:
    """Says which file is damaged when its content is not what a run writes.

    Raises:
      UserError: a `ValueError`, or a missing key or attribute, came from inside.
    """
    try:
        yield
    except UserError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(
            f"{path} is damaged ({reason}): put back a copy, or train again in another --workdir"
        ) from error


def read_json(path: epath.Path) -> Any:
    """Reads a JSON file of a workdir; a damaged one is a `UserError`."""
    with reading(path):
        content = json.loads(path.read_text())
    return content


def read_config(folder: epath.Path) -> RunConfig:
    """Reads the recipe of a workdir; a damaged one is a `UserError`."""
    content = read_json(folder / CONFIG)
    try:
        with reading(folder / CONFIG):
            return RunConfig.from_json(content)
    except UserError as error:
        raise UserError(
            f"{folder / CONFIG}: {error}; take the version that the run was made with"
        ) from error


def load(path: str) -> Run:
    """Reads a workdir.

    Raises:
      UserError: there is no run in it, it is not finished, or it is damaged.
    """
    folder = absolute(path)
    if not (folder / CONFIG).exists():
        raise UserError(f"{path} is no workdir of a run: it has no {CONFIG}")
    if not (folder / SUMMARY).exists():
        raise UserError(f"the run in {path} is not finished: start its command again first")
    config, summary = read_config(folder), read_json(folder / SUMMARY)
    with reading(folder / SUMMARY):
        if not all(stage["name"] and stage["metrics"]["test"] for stage in summary["stages"]):
            raise ValueError("a stage without a name or test results")
        if "history" not in summary:
            raise UserError(
                f"the run in {path} is of an earlier version, which kept no curves and "
                "predictions: train it again"
            )
    return Run(folder, config, summary)

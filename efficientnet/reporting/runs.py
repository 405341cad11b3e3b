"""Reading a finished run from its workdir."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from etils import epath

from efficientnet import records
from efficientnet.config import RunConfig
from efficientnet.errors import UserError
from efficientnet.metrics import METRICS
from efficientnet.paths import absolute
from efficientnet.records import EpochRecord, NetworkRecord, RunSummary, SplitIdentity, StageResult
from efficientnet.reporting import predictions
from efficientnet.reporting.predictions import Predictions
from efficientnet.runtime.provenance import Provenance

CONFIG = "config.json"
NETWORK = "network.json"
SUMMARY = "summary.json"
PREDICTIONS = "predictions"
RATES = "rates"
PROVENANCE = "provenance.json"


class UnfinishedError(UserError):
    """A run has no results yet."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
      folder: the workdir.
      config: the content of `config.json`.
      summary: the content of `summary.json`.
    """

    folder: epath.Path
    config: RunConfig
    summary: RunSummary

    @property
    def name(self) -> str:
        """The name of the workdir."""
        return self.folder.name

    @property
    def run_id(self) -> str:
        """The unique name of the run; '-' for one that an earlier version finished."""
        return self.summary.provenance.run_id if self.summary.provenance else "-"

    @property
    def commit(self) -> str:
        """The commit of the code, '+' if it was changed, of every environment; '-' if unknown."""
        known = self.summary.provenance.environments if self.summary.provenance else ()
        codes = (f"{one.commit[:10]}{'' if one.clean else '+'}" for one in known if one.commit)
        return ", ".join(dict.fromkeys(codes)) or "-"

    @property
    def stages(self) -> tuple[StageResult, ...]:
        """The results of the stages, in order."""
        return self.summary.stages

    @property
    def history(self) -> tuple[EpochRecord, ...]:
        """The records of all epochs."""
        return self.summary.history

    @property
    def result(self) -> StageResult:
        """The result of the last stage, which is that of the run."""
        return self.stages[-1]

    @property
    def caution(self) -> str:
        """A sentence if an earlier stage than the last validated better; else ''."""
        metric = METRICS[self.config.stages[-1].monitor]

        def value(stage: StageResult) -> float:
            return stage.metrics.validation[metric.name]

        best = max(self.stages, key=lambda stage: metric.worth(value(stage)))
        if metric.worth(value(best)) <= metric.worth(value(self.result)):
            return ""
        last, better = (metric.exact(value(stage)) for stage in (self.result, best))
        return (
            f"the last stage, {self.result.name}, validates worse than {best.name} "
            f"({metric.heading} {last} after {better}), but it is the run's result: "
            f"--stage={best.name} takes the better weights, and a lower learning rate may mend the "
            "last stage"
        )

    @property
    def seconds(self) -> float:
        """Wall clock time of all stages."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def settings(self) -> dict[str, Any]:
        """The values of all fields of the config, such as 'config.stages[0].epochs'."""
        return dict(_flat(self.config.to_json(), "config"))

    @property
    def tested_on(self) -> SplitIdentity | None:
        """Identifies the test photos; None if an earlier version, which did not, began the run."""
        if not (self.folder / NETWORK).exists():
            return None
        return records.read(NetworkRecord, self.folder / NETWORK).data.get("test")

    def predictions(self, stage: str) -> Predictions:
        """Reads the predictions of a stage's best weights for the test photos.

        Raises:
          UserError: they are missing or damaged.
        """
        return predictions.load(self.folder / PREDICTIONS / f"{stage}.npz")


def _flat(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _flat(item, f"{name}[{index}]")
    else:
        yield name, value


def read_config(folder: epath.Path) -> RunConfig:
    """Reads the config of a run; a damaged file is a `UserError`."""
    content = records.read_json(folder / CONFIG)
    try:
        with records.reading(folder / CONFIG):
            return RunConfig.from_json(content)
    except UserError as error:
        raise UserError(
            f"{folder / CONFIG}: {error}; use the version that the run was made with"
        ) from error


def read_provenance(folder: epath.Path) -> Provenance | None:
    """Reads where a run's results come from; None if an earlier version trained it."""
    path = folder / PROVENANCE
    return records.read(Provenance, path) if path.exists() else None


def load(path: str) -> Run:
    """Reads a workdir.

    Raises:
      UnfinishedError: the run is not finished.
      UserError: the folder has no run, or it is damaged.
    """
    folder = absolute(path)
    if not (folder / CONFIG).exists():
        raise UserError(f"{path} is not a run's workdir: it has no {CONFIG}")
    if not (folder / SUMMARY).exists():
        raise UnfinishedError(
            f"the run in {path} is not finished: first run its command to the end"
        )
    config, content = read_config(folder), records.read_json(folder / SUMMARY)
    with records.reading(folder / SUMMARY):
        if content["stages"] and "history" not in content:
            raise UserError(
                f"the run in {path} is of an earlier version, which kept no curves and "
                "predictions: train it again"
            )
        summary = records.from_json(RunSummary, content)
        if not summary.stages:
            raise ValueError("no stages")
    return Run(folder, config, summary)

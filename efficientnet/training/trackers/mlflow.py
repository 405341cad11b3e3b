"""A run in MLflow, whose server `MLFLOW_TRACKING_URI` names."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from efficientnet.runtime.provenance import Provenance
from efficientnet.training.trackers.tracker import Point, Service, described

RUN_ID = "efficientnet.run_id"  # the tag by which a run is found again
AT_ONCE = 1000  # metrics in a request, MLflow's limit
PARAMS_AT_ONCE = 100
# MLflow's client would repeat a request for minutes; what is missing is sent later anyway.
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}


def _client() -> Any:
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient  # takes seconds

    return MlflowClient()


class MlflowRun(Service):
    """See `tracker.Service`."""

    ADVICE = "set MLFLOW_TRACKING_URI to the address of a server that runs"

    def __init__(self, folder: epath.Path, origin: Provenance) -> None:
        self._client = client = _client()
        experiment = _experiment(client)
        tags = {f"efficientnet.{name}": value for name, value in described(origin).items()}
        if origin.latest.commit:
            tags["mlflow.source.git.commit"] = origin.latest.commit  # MLflow's pages show it
        found = client.search_runs(
            [experiment], f"tags.`{RUN_ID}` = '{origin.run_id}'", max_results=1
        )
        if found:
            self._id = found[0].info.run_id
            client.update_run(self._id, status="RUNNING")
            for name, value in tags.items():
                client.set_tag(self._id, name, value)
        else:
            self._id = client.create_run(experiment, tags=tags, run_name=folder.name).info.run_id

    @staticmethod
    def check() -> None:
        """See `tracker.Service`."""
        _client().search_experiments(max_results=1)

    def describe(self, hyperparameters: Mapping[str, Any]) -> None:
        """See `tracker.Service`; one that a resumed run has changed becomes a tag.

        MLflow doesn't let a parameter change.
        """
        from mlflow.entities import Param

        known = self._client.get_run(self._id).data.params
        values = {name: str(value) for name, value in hyperparameters.items()}
        new = [Param(name, value) for name, value in values.items() if name not in known]
        for start in range(0, len(new), PARAMS_AT_ONCE):
            self._client.log_batch(self._id, params=new[start : start + PARAMS_AT_ONCE])
        for name in known.keys() & values.keys():
            if known[name] != values[name]:
                self._client.set_tag(self._id, f"config.{name}", values[name])

    def last_step(self, name: str) -> int:
        """See `tracker.Service`."""
        history = self._client.get_metric_history(self._id, name)
        return max((metric.step for metric in history), default=-1)

    def send(self, points: Sequence[Point], last: bool) -> None:
        """See `tracker.Service`."""
        from mlflow.entities import Metric

        metrics = [
            Metric(point.name, point.number, int(1000 * point.time), point.step) for point in points
        ]
        for start in range(0, len(metrics), AT_ONCE):
            self._client.log_batch(self._id, metrics=metrics[start : start + AT_ONCE])

    def add_report(self, page: epath.Path) -> None:
        """See `tracker.Service`."""
        self._client.log_text(self._id, page.read_text("utf-8"), "report/index.html")

    def close(self, finished: bool) -> None:
        """See `tracker.Service`."""
        self._client.set_terminated(self._id, "FINISHED" if finished else "KILLED")


def _experiment(client: Any) -> str:
    """Returns the id of the experiment `MLFLOW_EXPERIMENT_NAME`, by default 'efficientnet'."""
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "efficientnet")
    found = client.get_experiment_by_name(name)
    return found.experiment_id if found else client.create_experiment(name)

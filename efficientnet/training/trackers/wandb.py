"""A run in Weights & Biases, with the settings of its own variables, such as `WANDB_PROJECT`."""

import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from efficientnet.paths import is_in_bucket
from efficientnet.runtime.provenance import Provenance
from efficientnet.training.trackers.tracker import Point, Service, described

# At the end, wait so long for what is not uploaded yet; `wandb sync` can do it later.
FINISH_SECONDS = 60


class WandbRun(Service):
    """See `tracker.Service`.

    W&B takes one row of metrics for each step, in order. A row goes out when a later step is there,
    because the test of a stage still belongs to the last step of its training; what a kill leaves
    in such a row is drawn again when the run is resumed.

    Without a server (`WANDB_MODE=offline`) nobody can say what it has, so each start writes a file
    with all rows from the first on, and removes those of earlier starts.
    """

    ADVICE = "log in with `wandb login`, check the network, or set WANDB_MODE=offline"

    def __init__(self, folder: epath.Path, origin: Provenance) -> None:
        import wandb

        elsewhere = is_in_bucket(folder) or "WANDB_DIR" in os.environ
        self._run = wandb.init(
            id=origin.run_id,
            project=os.environ.get("WANDB_PROJECT", "efficientnet"),
            name=os.environ.get("WANDB_NAME", folder.name),
            resume="allow",
            dir=None if elsewhere else str(folder),
            settings=wandb.Settings(console="off", finish_timeout=FINISH_SECONDS),
        )
        self._run.config.update({"provenance": described(origin)}, allow_val_change=True)
        self._row: dict[str, float] = {}
        self._step = -1  # of the row
        if self._run.offline:
            now = pathlib.Path(self._run.dir).parent
            for earlier in now.parent.glob(f"offline-run-*-{origin.run_id}"):
                if earlier != now:
                    shutil.rmtree(earlier)

    @staticmethod
    def check() -> None:
        """See `tracker.Service`."""
        import wandb

        if wandb.setup().settings.mode in ("online", "shared"):
            wandb.login(verify=True)

    def describe(self, hyperparameters: Mapping[str, Any]) -> None:
        """See `tracker.Service`."""
        self._run.config.update(dict(hyperparameters), allow_val_change=True)

    def last_step(self, name: str) -> int:
        """See `tracker.Service`; it is that of all curves, whose rows are whole."""
        return self._run.starting_step - 1

    def send(self, points: Sequence[Point], last: bool) -> None:
        """See `tracker.Service`."""
        for point in points:
            if point.step > self._step:
                self._send_row()
                self._step = point.step
            self._row[point.name] = point.number
        if last:
            self._send_row()

    def _send_row(self) -> None:
        if self._row:
            self._run.log(self._row, step=self._step)
        self._row = {}

    def add_report(self, page: epath.Path) -> None:
        """See `tracker.Service`."""
        import wandb

        artifact = wandb.Artifact(f"report-{self._run.id}", type="report")
        with artifact.new_file("index.html", mode="wb") as file:
            file.write(page.read_bytes())
        self._run.log_artifact(artifact)

    def close(self, finished: bool) -> None:
        """See `tracker.Service`."""
        self._run.finish(exit_code=0 if finished else 1)

"""Trackers of experiments that a run can write to besides TensorBoard, see docs/tracking.md.

To add one, write a module with a class that has the methods of `tracker.Service`, and add it to
`SERVICES` and to `efficientnet.config.TrackerName`.
"""

import contextlib
import importlib.util
from collections.abc import Iterator, Mapping

from etils import epath

from efficientnet.config import RunConfig, TrackerName
from efficientnet.errors import UserError
from efficientnet.runtime import distributed
from efficientnet.runtime.provenance import Provenance
from efficientnet.training.trackers.mlflow import MlflowRun
from efficientnet.training.trackers.tracker import Service, Tracker, reason
from efficientnet.training.trackers.wandb import WandbRun

# The name is that of the package, and of the extra that installs it.
SERVICES: Mapping[TrackerName, type[Service]] = {"mlflow": MlflowRun, "wandb": WandbRun}


def check(config: RunConfig) -> None:
    """Checks that the packages of the trackers are installed and that their servers answer.

    Raises:
      UserError: one is not, or doesn't.
    """
    for name in config.trackers if distributed.leads() else ():
        if not is_installed(name):
            raise UserError(
                f"config.trackers names {name!r}, whose package is not installed: "
                f"pip install -e '.[{name}]'"
            )
        try:
            SERVICES[name].check()
        except Exception as error:
            raise _unreachable(name, error) from error


@contextlib.contextmanager
def opened(
    config: RunConfig, folder: epath.Path, origin: Provenance | None
) -> Iterator[list[Tracker]]:
    """Yields the trackers of a run, and closes them; none but in the first process.

    Args:
      config: of the run.
      folder: of the run, for what a tracker keeps on the disk.
      origin: of the run's results; None in other processes than the first.

    Raises:
      UserError: a tracker's server doesn't answer.
    """
    with contextlib.ExitStack() as stack:
        found = []
        for name in config.trackers:
            if origin is None:
                break
            try:
                tracker = Tracker(name, SERVICES[name](folder, origin))
            except Exception as error:
                raise _unreachable(name, error) from error
            found.append(tracker)
            stack.callback(tracker.close)
        yield found


def is_installed(package: str) -> bool:
    """Whether a package can be imported."""
    found = importlib.util.find_spec(package)
    return found is not None and found.origin is not None  # W&B's files are in a folder `wandb`


def _unreachable(name: TrackerName, error: Exception) -> UserError:
    return UserError(
        f"{name} can't be used ({reason(error)}): {SERVICES[name].ADVICE}, or leave {name!r} out "
        "of config.trackers"
    )

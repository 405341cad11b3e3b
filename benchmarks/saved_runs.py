"""Everything that a run has saved, to compare two runs bit by bit."""

import contextlib

import numpy as np
from etils import epath
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event

from efficientnet.training import checkpoint_files
from efficientnet.training.checkpoint_files import DamagedError, named_leaves
from efficientnet.training.tensorboard import FOLDERS


def read_arrays(folder: epath.Path) -> dict[str, np.ndarray]:
    """Returns all arrays of a finished run's latest checkpoint and best weights, by name.

    Raises:
      DamagedError: one of them is damaged or missing.
    """
    with contextlib.closing(checkpoint_files.latest_manager(folder)) as manager:
        step = manager.latest_step()
        if step is None:
            raise DamagedError(f"{folder} has no checkpoint")
        progress, sums = checkpoint_files.read_progress(manager, step)
        state = checkpoint_files.read_tree(manager, step, "state", sums)
    arrays = {f"latest/{name}": leaf for name, leaf in named_leaves(state).items()}
    for stage in {record.stage for record in progress.history}:
        with contextlib.closing(checkpoint_files.best_manager(folder, stage)) as manager:
            best = checkpoint_files.read_variables(manager)
        arrays |= {f"best/{stage}/{name}": leaf for name, leaf in named_leaves(best).items()}
    return arrays


def read_curves(folder: epath.Path) -> dict[str, list[tuple[int, bytes]]]:
    """Returns the points of all curves and images, (step, encoded value), by folder and name."""
    points: dict[str, list[tuple[int, bytes]]] = {}
    for name in FOLDERS:
        for path in sorted((folder / name).glob("*.tfevents.*")):
            for record in RawEventFileLoader(str(path)).Load():
                event = Event.FromString(record)
                for value in event.summary.value:
                    content = value.tensor.SerializeToString(deterministic=True)
                    points.setdefault(f"{name}/{value.tag}", []).append((event.step, content))
    return {name: sorted(found) for name, found in points.items()}

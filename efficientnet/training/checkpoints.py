"""Checkpoints through Orbax: the latest state of the run and the best weights of each stage."""

from collections.abc import Mapping
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath

# Kept besides the one that is being written, should that one turn out to be damaged.
KEEP_LATEST = 2


class Checkpoints:
    """Saves asynchronously below a folder; every save becomes visible whole or not at all.

    `latest/<step>` holds the whole training state and the host's progress (JSON), `best/<stage>/
    <step>` the variables of a stage's best epoch. Steps count over all stages.
    """

    def __init__(self, folder: epath.Path) -> None:
        self._folder = folder
        self._latest = self._manager("latest", KEEP_LATEST)
        self._best: dict[str, ocp.CheckpointManager] = {}

    def _manager(self, name: str, keep: int) -> ocp.CheckpointManager:
        options = ocp.CheckpointManagerOptions(max_to_keep=keep)
        return ocp.CheckpointManager(self._folder / name, options=options)

    def _best_of(self, stage: str) -> ocp.CheckpointManager:
        if stage not in self._best:
            self._best[stage] = self._manager(f"best/{stage}", keep=1)
        return self._best[stage]

    def latest_progress(self) -> dict[str, Any] | None:
        """Returns the host's progress at the latest checkpoint, or None where there is none."""
        step = self._latest.latest_step()
        if step is None:
            return None
        args = ocp.args.Composite(progress=ocp.args.JsonRestore())
        return self._latest.restore(step, args=args)["progress"]

    def restore_latest(self, like: Any) -> Any:
        """Returns the latest state, with the structure, shapes and shardings of `like`."""
        args = ocp.args.Composite(state=ocp.args.StandardRestore(_abstract(like)))
        return self._latest.restore(self._latest.latest_step(), args=args)["state"]

    def save_latest(self, step: int, state: Any, progress: Mapping[str, Any]) -> None:
        """Saves the state of the run after `step` steps, unless that step is saved already."""
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(state), progress=ocp.args.JsonSave(dict(progress))
        )
        self._latest.save(step, args=args)

    def save_best(self, stage: str, step: int, variables: Mapping[str, Any]) -> None:
        """Saves the best variables of a stage so far in place of the ones before."""
        # A run that was killed between the two saves comes here again, with the same weights.
        self._best_of(stage).save(step, args=ocp.args.StandardSave(dict(variables)))

    def restore_best(self, stage: str, like: Any) -> Any:
        """Returns a stage's best variables, with the structure and shardings of `like`."""
        manager = self._best_of(stage)
        manager.wait_until_finished()
        return manager.restore(
            manager.latest_step(), args=ocp.args.StandardRestore(_abstract(like))
        )

    def close(self) -> None:
        """Waits until everything is written."""
        for manager in (self._latest, *self._best.values()):
            manager.close()


def _abstract(tree: Any) -> Any:
    return jax.tree.map(ocp.utils.to_shape_dtype_struct, tree)

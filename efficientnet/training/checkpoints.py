"""Orbax checkpoints: the latest state of a run and the best weights of each stage.

`CheckpointPolicy` decides, equally in all processes, when to save and when to stop.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import orbax.checkpoint as ocp
from etils import epath

from efficientnet.config import RunConfig
from efficientnet.errors import UserError
from efficientnet.records import Progress
from efficientnet.runtime.distributed import Agreement, leads
from efficientnet.runtime.preemption import Stop
from efficientnet.training import checkpoint_files
from efficientnet.training.checkpoint_files import DamagedError

log = logging.getLogger(__name__)


class Checkpoints:
    """Saves checkpoints asynchronously and atomically below a folder.

    A save waits for the previous one, because a checkpoint's progress refers to the best weights,
    and several processes of Orbax can't coordinate two saves at a time.

    `latest/<step>` holds the whole training state and the host's progress (JSON), `best/<stage>/
    <step>` the variables of a stage's best epoch; each includes the checksums of its leaves. Steps
    count over all stages.
    """

    def __init__(self, folder: epath.Path, keep: int = 2) -> None:
        """Opens or creates a folder that keeps the latest `keep` checkpoints."""
        self._folder = folder
        # For each of the latest checkpoints, and for the next one, the best weights it refers to.
        self._keep_best = keep + 1
        self._latest = checkpoint_files.latest_manager(folder, keep)
        self._best: dict[str, ocp.CheckpointManager] = {}
        self._state: Any = None

    def _best_of(self, stage: str) -> ocp.CheckpointManager:
        if stage not in self._best:
            self._best[stage] = checkpoint_files.best_manager(self._folder, stage, self._keep_best)
        return self._best[stage]

    def resume(self) -> Progress | None:
        """Finds the newest intact checkpoint, and deletes those after it.

        A checkpoint is intact if its arrays, its progress and the best weights it refers to have
        the checksums that they were saved with. Damaged checkpoints are logged.

        Returns:
          The progress in that checkpoint, or None if there is no checkpoint.

        Raises:
          UserError: there are checkpoints, but none is intact.
        """
        steps = self._latest.all_steps()
        found = _newest_intact(self._latest, self._load)
        if steps and not found:
            raise UserError(
                f"no checkpoint in {self._folder / 'latest'} is intact (see above): "
                "choose a new --workdir, or restore a copy of this one"
            )
        step, progress = found or (0, None)
        damaged = [later for later in steps if later > step]
        if damaged:
            log.warning("resuming from the checkpoint at step %d", step)
        for later in damaged:
            self._latest.delete(later)
        self._forget_best_after(step)
        return progress

    def _load(self, step: int) -> Progress:
        """Returns a checkpoint's progress and keeps its state; raises `DamagedError`."""
        self._state = None
        progress, sums = checkpoint_files.read_progress(self._latest, step)
        state = checkpoint_files.read_tree(self._latest, step, "state", sums)
        best = progress.best
        if best:
            try:
                checkpoint_files.read_variables(self._best_of(best.stage), best.step)
            except DamagedError as error:
                raise DamagedError(f"its best weights are, best/{best.stage}: {error}") from error
        self._state = state
        return progress

    def _forget_best_after(self, step: int) -> None:
        # A killed run wrote these after its last checkpoint. This run will write them again, and
        # Orbax refuses to save a step before an existing one.
        best = self._folder / "best"
        for stage in sorted(path.name for path in best.iterdir()) if best.exists() else ():
            manager = self._best_of(stage)
            for later in [known for known in manager.all_steps() if known > step]:
                manager.delete(later)

    def restore_latest(self, like: Any) -> Any:
        """Returns the state found by `resume`, with the structure and shardings of `like`."""
        state, self._state = self._state, None
        return checkpoint_files.placed(state, like, "the checkpoint")

    def save_latest(self, step: int, state: Any, progress: Progress) -> None:
        """Saves the state of the run after `step` steps.

        Raises:
          FileNotFoundError: the folder is gone; Orbax would create it again without the rest.
        """
        if not self._folder.exists():
            raise FileNotFoundError(f"{self._folder} is gone")
        self.wait()
        checkpoint_files.save(self._latest, step, "state", state, progress)

    def save_best(self, stage: str, step: int, variables: Mapping[str, Any]) -> None:
        """Saves the best variables of a stage so far; the previous ones stay until then."""
        manager = self._best_of(stage)
        self.wait()
        # A run that was killed before the next checkpoint saves them again.
        if step in manager.all_steps():
            manager.delete(step)
        checkpoint_files.save(manager, step, "variables", dict(variables))

    def restore_best(self, stage: str, like: Any) -> Any:
        """Returns a stage's best variables, with the structure and shardings of `like`.

        Raises:
          UserError: they are damaged.
        """
        self.wait()
        # In a bucket, only the first process of Orbax can read what it has just saved.
        return read_best(self._folder, stage, like)

    def wait(self) -> None:
        """Waits until everything is written."""
        for manager in (self._latest, *self._best.values()):
            manager.wait_until_finished()

    def close(self) -> None:
        """Waits until everything is written, and closes the checkpoints."""
        for manager in (self._latest, *self._best.values()):
            manager.close()


def read_progress(folder: epath.Path) -> Progress:
    """Returns the newest intact progress, and changes nothing.

    Unlike `Checkpoints`, this may read a run that another process is training.

    Raises:
      UserError: there is none.
    """
    with contextlib.closing(checkpoint_files.latest_manager(folder)) as manager:
        found = _newest_intact(
            manager, lambda step: checkpoint_files.read_progress(manager, step)[0]
        )
    if not found:
        raise UserError(
            f"{folder / 'latest'} has no intact checkpoint: continue training with the same command"
        )
    return found[1]


def _newest_intact(
    manager: ocp.CheckpointManager, load: Callable[[int], Progress]
) -> tuple[int, Progress] | None:
    """Returns the newest step that `load` finds intact, with what it returns; logs the others."""
    for step in sorted(manager.all_steps(), reverse=True):
        try:
            return step, load(step)
        except DamagedError as error:
            log.warning("checkpoint %s is damaged: %s", manager.directory / str(step), error)
    return None


def read_best(folder: epath.Path, stage: str, like: Any) -> Any:
    """Returns a stage's best variables with the structure of `like`, and changes nothing.

    Raises:
      UserError: they are damaged, or don't fit.
    """
    with contextlib.closing(checkpoint_files.best_manager(folder, stage)) as manager:
        try:
            variables = checkpoint_files.read_variables(manager)
        except DamagedError as error:
            raise UserError(
                f"the best weights of stage {stage!r} in {manager.directory} are damaged "
                f"({error}): choose a new --workdir, or restore a copy of this one"
            ) from error
    return checkpoint_files.placed(variables, like, f"the best weights of stage {stage!r}")


class CheckpointPolicy:
    """Decides when to save, by steps and by minutes, and when to stop."""

    def __init__(self, config: RunConfig, stop: Stop) -> None:
        self._steps = config.checkpoint_every_steps
        self._seconds = 60 * config.checkpoint_every_minutes
        self._stop = stop
        self._agreement = Agreement()
        self._saves = 0
        self._saved = time.monotonic()
        self.stops = False  # after the last step that was checked

    def save_is_due(self, step: int) -> bool:
        """Whether to save after this step, counted over all stages; called once per step."""
        by_time = f"save {self._saves}"
        if self._stop.requested:
            self._stop.renew_patience()
            self._agreement.propose("stop", step)
        if self._seconds and leads() and time.monotonic() - self._saved >= self._seconds:
            self._agreement.propose(by_time, step)
        self._agreement.update()
        self.stops = self._agreement.reached("stop", step)
        self._stop.saving |= self.stops
        by_steps = bool(self._steps) and step % self._steps == 0
        return self.stops or by_steps or self._agreement.reached(by_time, step)

    def saved(self) -> None:
        """Restarts the count of minutes."""
        self._saves += 1
        self._saved = time.monotonic()

"""Moving averages, plateaus, early stopping, mixing and cached features in one run."""

import json
import pathlib
from collections.abc import Callable

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from ml_collections import ConfigDict

from configs import common
from efficientnet.training.run import run
from efficientnet.training.trainer import Trainer


class Killed(BaseException):
    """Ends a run as SIGKILL does."""


def stages() -> tuple[ConfigDict, ConfigDict]:
    head = common.stage("head", "predictions", 1, learning_rate=1e-2, cached_copies=2)
    late = common.stage(
        "late",
        "block7-",
        10,
        start="last",
        optimizer="rmsprop",
        schedule="constant",
        batch_norm="statistics",
        ema_decay=0.9,
        mixup=0.4,
        cutmix=1.0,
        balance_classes=True,
        micro_batches=2,
        layer_decay=0.8,
        clip_norm=1.0,
        min_improvement=1.0,  # so that no epoch after the first is an improvement
        plateau_patience=1,
        plateau_factor=0.5,
        stop_patience=2,
    )
    return head, late


def last_state(workdir: pathlib.Path) -> dict[str, np.ndarray]:
    folder = workdir / "checkpoints" / "latest"
    step = max(int(path.name) for path in folder.iterdir() if path.name.isdigit())
    tree = ocp.StandardCheckpointer().restore(folder / str(step) / "state")
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


@pytest.mark.slow
def test_a_killed_run_goes_on_exactly(
    tiny: Callable[..., ConfigDict], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(*stages())
    config.batch_size = 16
    kills, histories = [], []
    original = Trainer._validate

    def validate(self: Trainer, *args: object) -> object:
        if not kills and self.progress.stage == 1 and len(self.progress.history) == 2:
            self.checkpoints.close()
            kills.append(self.progress.global_step)
            raise Killed
        entry = original(self, *args)
        histories[:] = [self.progress.history]
        return entry

    monkeypatch.setattr(Trainer, "_validate", validate)
    with pytest.raises(Killed):
        run(common.parse(config), str(tmp_path / "killed"))
    resumed = run(common.parse(config), str(tmp_path / "killed"))
    (history,) = histories
    whole = run(common.parse(config), str(tmp_path / "whole"))

    late = resumed.stages[1]
    assert late.epochs == 3  # of 10: the second and the third brought nothing
    assert [record.lr_scale for record in history[1:]] == [1.0, 1.0, 0.5]
    assert late.weights in ("plain", "moving average")
    assert late.selected_on == "photos held out of training"
    best = next(record for record in history if record.epoch == late.best_epoch)
    assert history[-1].validation_ema is not None
    assert best.stage in ("head", "late")
    assert (tmp_path / "killed" / "tensorboard" / "validation_ema").is_dir()

    for first, second in zip(resumed.stages, whole.stages, strict=True):
        assert first.metrics == second.metrics
    states = [last_state(tmp_path / name) for name in ("killed", "whole")]
    assert states[0].keys() == states[1].keys()
    assert [n for n in states[0] if not np.array_equal(states[0][n], states[1][n])] == []
    assert json.loads((tmp_path / "whole" / "summary.json").read_text())["status"] == "finished"

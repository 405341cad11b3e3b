"""Curves go on after a kill without gaps or doubled points."""

import pathlib

import numpy as np
from etils import epath
from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

from benchmarks import saved_runs
from efficientnet.training.tensorboard import TensorBoardWriter, parameter_histograms


def steps(folder: pathlib.Path, name: str) -> list[int]:
    return [step for step, _ in saved_runs.read_curves(epath.Path(folder))[name]]


def draw(drawn: TensorBoardWriter, first: int, last: int) -> None:
    for step in range(first, last + 1):
        drawn.write_scalars(step, {"train/loss": 1 / step})
        if step % 4 == 0:
            drawn.write_scalars(step, {"validation/loss": 1 / step})


def test_points_after_the_checkpoint_are_drawn_once(tmp_path: pathlib.Path) -> None:
    whole = TensorBoardWriter(epath.Path(tmp_path / "whole"), 0)
    draw(whole, 1, 12)
    whole.write_scalars(12, {"test/loss": 0.5})
    whole.close()

    # Killed at step 9, where the last checkpoint was at step 6; again at the test after the end.
    for first, last in ((1, 9), (7, 12), (13, 12)):
        killed = TensorBoardWriter(epath.Path(tmp_path / "killed"), first - 1)
        draw(killed, first, last)
        if last == 12:
            killed.write_scalars(12, {"test/loss": 0.5})
        killed.close()

    assert steps(tmp_path / "killed", "train/loss") == list(range(1, 13))
    assert saved_runs.read_curves(epath.Path(tmp_path / "killed")) == saved_runs.read_curves(
        epath.Path(tmp_path / "whole")
    )


def test_a_point_that_was_cut_in_two_is_no_obstacle(tmp_path: pathlib.Path) -> None:
    first = TensorBoardWriter(epath.Path(tmp_path), 0)
    draw(first, 1, 5)
    first.close()
    (events,) = (tmp_path / "train").glob("*.tfevents.*")
    events.write_bytes(events.read_bytes()[:-7])
    second = TensorBoardWriter(epath.Path(tmp_path), 4)
    draw(second, 5, 6)
    second.close()
    assert steps(tmp_path, "train/loss") == [1, 2, 3, 4, 5, 6]


def test_a_validation_that_is_not_saved_is_drawn_once(tmp_path: pathlib.Path) -> None:
    for _ in range(2):
        drawn = TensorBoardWriter(epath.Path(tmp_path), 4, validated=False)
        drawn.write_scalars(4, {"validation/loss": 0.5})
        drawn.write_histograms(4, parameter_histograms({"top_conv": {"kernel": np.arange(5.0)}}))
        drawn.close()
    assert steps(tmp_path, "validation/loss") == steps(tmp_path, "weights/parameters/top") == [4]
    TensorBoardWriter(epath.Path(tmp_path), 4).close()
    assert steps(tmp_path, "validation/loss") == [4]


def test_hyperparameters_are_listed_once(tmp_path: pathlib.Path) -> None:
    for rate in (0.1, 0.2):
        drawn = TensorBoardWriter(epath.Path(tmp_path), 0)
        stage = {"learning_rate": rate, "dropout": None, "name": "head"}
        drawn.write_hparams({"seed": 0, "stages": (stage,)})
        drawn.close()
    assert len(list(tmp_path.glob("*.tfevents.*"))) == 1
    found = EventMultiplexer().AddRun(str(tmp_path), "run").Reload()
    metadata = found.SummaryMetadata("run", "_hparams_/session_start_info")
    content = metadata.plugin_data.content
    assert b"stages.0.learning_rate" in content
    assert b"head" in content

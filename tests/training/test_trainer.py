"""Whole runs on tiny data: what they leave, and that they resume exactly."""

import json
import pathlib
from collections.abc import Callable

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from etils import epath
from ml_collections import ConfigDict
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from benchmarks import saved_runs
from configs import common
from efficientnet.errors import UserError
from efficientnet.reporting import runs
from efficientnet.training.run import run
from efficientnet.training.trainer import Trainer
from input_pipeline.sources import SOURCES
from input_pipeline.sources.split import Source, from_encoded

Recipe = Callable[..., ConfigDict]


def recipe(tiny: Recipe) -> ConfigDict:
    config = tiny(
        common.stage("head", train="predictions", epochs=1, learning_rate=1e-2),
        common.stage("late", train="block6-", epochs=2, learning_rate=1e-3, weight_decay=0.1),
    )
    config.checkpoint_every_steps = 2
    return config


@pytest.fixture(scope="module")
def whole(tiny: Recipe, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The workdir of a finished run of both stages, which tests only read."""
    workdir = tmp_path_factory.mktemp("whole")
    run(common.parse(recipe(tiny)), str(workdir))
    return workdir


def final_state(workdir: pathlib.Path) -> dict[str, np.ndarray]:
    """All arrays of the last checkpoint and of the last stage's best weights."""
    arrays = {}
    for folder in ("checkpoints/latest", "checkpoints/best/late"):
        with ocp.CheckpointManager(workdir / folder) as manager:
            step = manager.latest_step()
            item = "state" if folder.endswith("latest") else "variables"
            tree = ocp.StandardCheckpointer().restore(workdir / folder / str(step) / item)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            arrays[folder + jax.tree_util.keystr(path)] = np.asarray(leaf)
    return arrays


def test_a_run_leaves_summary_report_and_curves(whole: pathlib.Path) -> None:
    summary = json.loads((whole / "summary.json").read_text())
    assert summary["status"] == "finished"
    head, late = summary["stages"]
    assert (head["name"], late["name"]) == ("head", "late")
    assert head["parameters"]["trainable"] == 3 * (1280 // 4) + 3
    assert sum(head["parameters"].values()) == sum(late["parameters"].values())
    assert late["steps"] == 10  # 2 epochs of 40 photos, 8 a step
    assert {"top1", "top3", "top5", "loss"} <= set(late["metrics"]["test"])
    assert late["metrics"]["test"]["top3"] == 1.0
    # 21 photos: a share that counts each exactly once is a multiple of 1 / 21.
    assert (late["metrics"]["test"]["top1"] * 21) == pytest.approx(
        round(late["metrics"]["test"]["top1"] * 21), abs=1e-5
    )
    assert summary["photos"] == {"train": 40, "validation": 10, "test": 21}
    assert [entry["stage"] for entry in summary["history"]] == ["head", "late", "late"]
    rates = [entry["learning_rate"] for entry in summary["history"]]
    # Of cosines from 1e-2 over 5 steps and from 1e-3 over 10.
    assert rates == pytest.approx([6e-3, 8.657e-4, 2.343e-4], rel=1e-3)
    origin = runs.load(str(whole)).summary.provenance
    assert origin is not None
    assert origin == runs.read_provenance(epath.Path(whole))
    assert (len(origin.starts), origin.latest.packages["jax"]) == (1, jax.__version__)
    kept = runs.load(str(whole)).predictions("late")
    assert kept.names == tuple(f"{number}.png" for number in range(21))
    assert (kept.predicted == kept.label).mean() == pytest.approx(late["metrics"]["test"]["top1"])
    assert (whole / "report" / "index.html").read_bytes().startswith(b"<!doctype html>")

    curves = EventAccumulator(str(whole / "tensorboard" / "train"))
    curves.Reload()
    assert {"loss", "top1", "top3", "top5", "learning_rate", "images_per_second"} <= set(
        curves.Tags()["tensors"]
    )
    assert [event.step for event in curves.Tensors("photos")] == [1, 6]
    drawn = saved_runs.read_curves(epath.Path(whole / "tensorboard"))
    for name in ("test/confusion_matrix", "test/worst_photos", "test/f1_macro"):
        assert [step for step, _ in drawn[name]] == [5, 15]
    assert [step for step, _ in drawn["weights/parameters/predictions"]] == [5, 10, 15]
    assert [step for step, _ in drawn["weights/parameters/block7"]] == [10, 15]


def test_a_finished_run_is_not_trained_again(
    tiny: Recipe, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(common.stage("head", train="predictions", epochs=1))
    monkeypatch.chdir(tmp_path.parent)
    first = run(common.parse(config), tmp_path.name)  # a relative path is as good
    before = (tmp_path / "summary.json").stat().st_mtime_ns
    assert run(common.parse(config), str(tmp_path)) == first
    assert (tmp_path / "summary.json").stat().st_mtime_ns == before


class Killed(BaseException):
    """Ends a run without any cleaning up, as SIGKILL does."""


@pytest.mark.parametrize(
    "steps",
    [pytest.param(3, marks=pytest.mark.slow), 7, pytest.param(11, marks=pytest.mark.slow)],
)
def test_a_killed_run_ends_bit_identical(
    tiny: Recipe,
    whole: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    steps: int,
) -> None:
    original = Trainer._write

    def write(self: Trainer, split: str, scalars: object) -> None:
        if self.progress.global_step >= steps:
            self.checkpoints.close()
            raise Killed
        original(self, split, scalars)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_write", write)
        with pytest.raises(Killed):
            run(common.parse(recipe(tiny)), str(tmp_path))
    run(common.parse(recipe(tiny)), str(tmp_path))

    expected, found = final_state(whole), final_state(tmp_path)
    assert expected.keys() == found.keys()
    assert [name for name in expected if not np.array_equal(expected[name], found[name])] == []
    results = [
        json.loads((workdir / "summary.json").read_text())["stages"]
        for workdir in (whole, tmp_path)
    ]
    assert [s["metrics"] for s in results[0]] == [s["metrics"] for s in results[1]]
    origins = [runs.load(str(workdir)).summary.provenance for workdir in (whole, tmp_path)]
    assert [len(origin.starts) for origin in origins if origin] == [1, 2]
    assert len({origin.run_id for origin in origins if origin}) == 2


def test_another_config_is_refused_by_field(tiny: Recipe, tmp_path: pathlib.Path) -> None:
    config = tiny(common.stage("head", train="predictions", epochs=1))
    run(common.parse(config), str(tmp_path))
    config.log_every_steps = 7
    run(common.parse(config), str(tmp_path))
    config.stages[0].learning_rate = 0.5
    with pytest.raises(UserError, match=r"config.stages\[0\].learning_rate was 0.001, is 0.5"):
        run(common.parse(config), str(tmp_path))


def test_a_loss_that_is_not_finite_stops_the_run(tiny: Recipe, tmp_path: pathlib.Path) -> None:
    stage = common.stage(
        "all", train="all", epochs=1, learning_rate=1e30, optimizer="sgd", batch_norm="trained"
    )
    with pytest.raises(UserError, match="not finite"):
        run(common.parse(tiny(stage)), str(tmp_path))


STAGE = {"name": "s", "train": "all", "epochs": 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 12}, "batch_size is 12: expected a positive multiple of the 8 devices"),
        ({"variant": "b9"}, "unknown variant 'b9'"),
        ({"dtype": "float16"}, "config.dtype is 'float16'"),
        ({"stages": ()}, "config.stages is empty"),
        ({"augment": "flip"}, "unknown augmentation 'flip'"),
        ({"weights": "nowhere.pth"}, "nowhere.pth"),
        ({"stages": (STAGE | {"head_learning_rate": -0.1},)}, "more than 0, or None"),
        ({"stages": (STAGE | {"name": "../s"},)}, r"the name '../s': expected letters"),
        ({"stages": (STAGE | {"epochs": float("inf")},)}, "'s' has epochs inf: expected a"),
        ({"stages": (STAGE | {"mixup": float("nan")},)}, "'s' has mixup nan"),
        ({"checkpoint_every_minutes": float("nan")}, "config.checkpoint_every_minutes is nan"),
        ({"stages": (STAGE | {"warmup_epochs": -1.0},)}, "warmup_epochs -1.0"),
    ],
)
def test_bad_values_are_refused_at_once(
    tiny: Recipe, tmp_path: pathlib.Path, change: dict[str, object], message: str
) -> None:
    def start() -> None:
        config = tiny(common.stage("head", train="predictions", epochs=1))
        config.update(change)
        run(common.parse(config), str(tmp_path))

    with pytest.raises(UserError, match=message):
        start()
    assert not (tmp_path / "config.json").exists()


@pytest.mark.parametrize(("empty", "use"), [("train", "train"), ("test", "test")])
def test_a_split_without_photos_is_refused(
    tiny: Recipe, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, empty: str, use: str
) -> None:
    photos = from_encoded([b""] * 50, [f"{n}.jpg" for n in range(50)], [0, 1] * 25)
    splits = {"train": photos, "test": photos, "validation": photos}
    splits[empty] = photos.take(np.arange(0))
    monkeypatch.setitem(SOURCES, "half", lambda: Source("half", ("a", "b"), splits))
    config = tiny(common.stage("head", train="predictions", epochs=1))
    config.data.source, config.data.validation_split = "half", "validation"
    with pytest.raises(UserError, match=f"the data 'half' leave no photo to {use} on"):
        run(common.parse(config), str(tmp_path))


def test_a_photo_that_is_none_is_named(
    tiny: Recipe, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = from_encoded([b"no photo"] * 50, [f"{n}.jpg" for n in range(50)], [0, 1] * 25)
    source = Source("broken", ("a", "b"), {"train": broken, "test": broken})
    monkeypatch.setitem(SOURCES, "broken", lambda: source)
    config = tiny(common.stage("head", train="predictions", epochs=1))
    config.data.source = "broken"
    with pytest.raises(UserError, match=r"^0.jpg is not a readable photo.*, nor are 99 others"):
        run(common.parse(config), str(tmp_path))

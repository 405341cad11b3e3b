"""A run's network comes back without its data, and says what the run's own evaluation said."""

import json
import pathlib
import shutil
from collections.abc import Callable

import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

import efficientnet
import input_pipeline
from configs import common
from efficientnet.errors import UserError
from efficientnet.inference.loading import load_run
from efficientnet.inference.network import TrainedNetwork
from efficientnet.training.run import run
from efficientnet.training.trainer import Trainer
from input_pipeline.sources import SOURCES
from input_pipeline.sources.split import Split

Recipe = Callable[..., ConfigDict]


@pytest.fixture(scope="module")
def trained_once(tiny: Recipe, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The workdir of a finished run of two stages."""
    workdir = tmp_path_factory.mktemp("finished")
    config = tiny(
        common.stage("head", train="predictions", epochs=1, learning_rate=1e-2),
        common.stage("late", train="block6-", epochs=1, learning_rate=1e-2, batch_norm="trained"),
    )
    config.head_batch_norm = True
    config.resolution = 40
    config.mean = (0.4, 0.5, 0.6)
    config.preprocess = "center_crop(0.8)"
    run(common.parse(config), str(workdir))
    return workdir


@pytest.fixture
def finished(
    trained_once: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[pathlib.Path, Split]:
    """A copy of the run, whose data are gone, and its test photos."""
    shutil.copytree(trained_once, tmp_path, dirs_exist_ok=True)
    test = SOURCES["tiny"]().splits["test"]
    monkeypatch.delitem(SOURCES, "tiny")
    return tmp_path, test


def loss_of(network: TrainedNetwork, photos: Split) -> float:
    """The mean cross-entropy of photos, in nats."""
    loader = input_pipeline.Loader(
        photos,
        batch_size=21,
        resolution=network.resolution,
        preprocess=network.preparation,
    )
    (batch,) = loader.evaluate(photos)
    logits = network(batch["image"])
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
    return float(np.mean(losses))


def test_every_stage_says_what_the_run_measured(finished: tuple[pathlib.Path, Split]) -> None:
    folder, photos = finished
    summary = json.loads((folder / "summary.json").read_text())
    measured = {s["name"]: s["metrics"]["test"]["loss"] for s in summary["stages"]}
    for stage, loss in measured.items():
        network = load_run(str(folder), stage)
        assert loss_of(network, photos) == pytest.approx(loss, abs=1e-5)
        assert network.stage == stage
    assert measured["head"] != pytest.approx(measured["late"], abs=1e-3)

    network = efficientnet.load(str(folder))
    assert isinstance(network, TrainedNetwork)
    assert network.stage == "late"
    assert network.class_names == ("red", "green", "blue")
    assert network.resolution == 40
    assert network.config.stages[1].train == "block6-"
    assert loss_of(network, photos) == pytest.approx(measured["late"], abs=1e-5)


def test_what_is_not_there_is_said(finished: tuple[pathlib.Path, Split]) -> None:
    folder, _ = finished
    with pytest.raises(UserError, match="no stage 'all': expected one of head, late"):
        load_run(str(folder), "all")
    with pytest.raises(UserError, match="is a run of tiny, not of b0"):
        efficientnet.load(str(folder), "b0")
    for name in ("config.json", "network.json"):
        content = (folder / name).read_text()
        for damaged in ("garbage", "{}", "[]", "3", '{"stages": 3, "class_names": 3}'):
            (folder / name).write_text(damaged)
            with pytest.raises(UserError, match=f"{name} is damaged"):
                load_run(str(folder))
        (folder / name).write_text(content)
    (best,) = (folder / "checkpoints" / "best" / "late").glob("*/variables")
    largest = max(best.rglob("d/*"), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    with pytest.raises(UserError, match=r"the best weights of stage 'late' in .* are damaged"):
        load_run(str(folder))
    (folder / "network.json").unlink()
    with pytest.raises(UserError, match=r"has no network.json: .*train.py command completes it"):
        load_run(str(folder))
    with pytest.raises(
        UserError, match=r"is no run's workdir: it has no config\.json and no check"
    ):
        load_run(str(folder / "report"))
    (folder / "checkpoints").rename(folder / "elsewhere")
    with pytest.raises(UserError, match=r"is no run's workdir: it has no checkpoints$"):
        load_run(str(folder))


def test_a_run_in_its_first_stage_gives_its_best_so_far(
    tiny: Recipe,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Killed(BaseException):
        pass

    def end_stage(self: Trainer, *_: object) -> None:
        self.checkpoints.close()
        raise Killed

    monkeypatch.setattr(Trainer, "_end_stage", end_stage)
    config = tiny(common.stage("head", train="predictions", epochs=1), common.stage("l", "all", 1))
    with pytest.raises(Killed):
        run(common.parse(config), str(tmp_path))
    with pytest.raises(UserError, match=r"no stage of .* is finished.*--stage=head"):
        load_run(str(tmp_path))
    with pytest.raises(UserError, match=r"stage 'l' of .* has no weights yet"):
        load_run(str(tmp_path), "l")
    assert load_run(str(tmp_path), "head").stage == "head"
    assert "not finished: these are its best weights so far" in caplog.text

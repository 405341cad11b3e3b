"""Folds that are trained one after another, over a stand-in for training."""

import csv
import dataclasses
import io
import json
import pathlib
from collections.abc import Callable, Iterator

import made_up
import numpy as np
import pages
import pytest
from etils import epath
from ml_collections import ConfigDict

from efficientnet import records
from efficientnet.commands import command_line, cross_validate
from efficientnet.config import RunConfig
from efficientnet.errors import UserError
from efficientnet.records import RunSummary, StageMetrics
from efficientnet.reporting import predictions, scores
from efficientnet.runtime.preemption import Stopped
from efficientnet.training import setup
from efficientnet.training.broken_photos import identity
from efficientnet.training.start import Opened
from input_pipeline.sources import SOURCES
from input_pipeline.sources.split import Source

# How ml_collections loads a config.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")

RECIPE = """
from configs import common

def get_config():
    config = common.get_config()
    config.variant = "tiny"
    config.weights = ""
    config.data.source = "tiny"
    config.batch_size = 8
    config.stages = (common.stage("all", train="all", epochs=1),)
    return config
"""


@dataclasses.dataclass
class Training:
    """What stands in for training: every photo is predicted right, but with 3.png as blue."""

    trained: list[str] = dataclasses.field(default_factory=list)
    predicted: int = 0
    stop_in: str = ""

    def run(self, config: RunConfig, path: str, opened: Opened) -> RunSummary:
        folder = epath.Path(path)
        if folder.name == self.stop_in:
            self.stop_in = ""
            raise Stopped("stopped after step 1, which is saved; the same command resumes")
        self.trained.append(folder.name)
        folder.mkdir(parents=True)
        self.data = data = setup.load_data(config, opened.source)
        records.write(folder / "config.json", config.to_json())
        network = made_up.network(data.class_names, identity(data.splits))
        records.write(folder / "network.json", network)
        test = scores.summary(made_up.predict(3, 30, seed=config.data.fold))
        metrics = StageMetrics(test=test, validation={})
        summary = made_up.summary([made_up.result("all", metrics)])
        records.write(folder / "summary.json", summary)
        return summary

    def run_on(self, *_: object, **__: object) -> tuple[dict[str, float], np.ndarray]:
        self.predicted += 1
        return {}, self.logits

    def load_run(self, path: str) -> None:
        photos = self.data.validation
        labels = np.where(np.array(photos.names) == "3.png", 2, photos.labels)
        self.logits = 4 * np.eye(3, dtype=np.float32)[labels]


@pytest.fixture
def training(
    monkeypatch: pytest.MonkeyPatch, tiny: Callable[..., ConfigDict], tmp_path: pathlib.Path
) -> Iterator[Training]:
    stand_in = Training()
    for name in ("run", "run_on", "load_run"):
        monkeypatch.setattr(cross_validate, name, getattr(stand_in, name))
    (tmp_path / "recipe.py").write_text(RECIPE)
    return stand_in


def words(tmp_path: pathlib.Path, *more: str) -> list[str]:
    return [f"--config={tmp_path / 'recipe.py'}", f"--workdir={tmp_path / 'runs'}", *more]


def test_every_photo_is_predicted_once_and_the_results_say_how_well(
    tmp_path: pathlib.Path, training: Training, capsys: pytest.CaptureFixture[str]
) -> None:
    cross_validate.main(words(tmp_path, "--folds=5", "--json"))
    assert training.trained == [f"fold_{number}" for number in range(5)]
    folder = epath.Path(tmp_path / "runs")
    found = predictions.load(folder / "out_of_fold.npz")
    assert sorted(found.names) == sorted(SOURCES["tiny"]().splits["train"].names)
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result == records.read_json(folder / "summary.json")
    assert result["photos"] == 50
    top1 = [fold["validation"]["top1"] for fold in result["folds"]]
    assert sorted(top1) == [0.9, 1, 1, 1, 1]
    mean = result["validation"]["top1"]
    assert mean["mean"] == pytest.approx(0.98)
    assert mean["low"] < 0.98 < mean["high"]
    rows = list(csv.DictReader(io.StringIO((folder / "labels.csv").read_text()), strict=True))
    assert len(rows) == 50
    first = rows[0] | {"name": rows[0].get("name", rows[0].get("\ufeffname"))}
    assert (first["name"], first["label"], first["suggested"]) == ("3.png", "red", "blue")
    page = (folder / "report" / "index.html").read_bytes()
    assert b'href="suspected_labels.html"' in page
    text = pages.assert_self_contained(page.replace(b"href=", b"title=")).text
    assert "98.0 %" in text
    assert "50 photos" in text
    suspected = (folder / "report" / "suspected_labels.html").read_bytes()
    assert "3.png" in pages.assert_self_contained(suspected).text


def test_what_is_done_is_not_done_again(
    tmp_path: pathlib.Path, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    training.stop_in = "fold_1"
    opened: list[Source] = []
    tiny = SOURCES["tiny"]

    def load() -> Source:
        opened.append(tiny())
        return opened[-1]

    monkeypatch.setitem(SOURCES, "tiny", load)
    with pytest.raises(Stopped):
        cross_validate.main(words(tmp_path, "--folds=3"))
    assert (training.trained, training.predicted) == (["fold_0"], 1)
    assert not (tmp_path / "runs" / "summary.json").exists()
    cross_validate.main(words(tmp_path, "--folds=3"))
    assert (training.trained, training.predicted) == (["fold_0", "fold_1", "fold_2"], 3)
    cross_validate.main(words(tmp_path, "--folds=3"))
    assert (len(training.trained), training.predicted) == (3, 3)
    assert len(opened) == 3, "each command opens the data once"


def test_other_folds_or_fields_are_refused_before_anything_runs(
    tmp_path: pathlib.Path, training: Training, capsys: pytest.CaptureFixture[str]
) -> None:
    cross_validate.main(words(tmp_path, "--folds=2"))
    for change, message in (
        (["--folds=3"], "config.data.folds was 2, is 3"),
        (["--folds=2", "--config.seed=1"], "config.seed was 0, is 1"),
        (["--folds=2", "--config.sed=1"], "sed"),
        (["--folds=2", "--sed=1"], "Unknown command line flag 'sed'"),
        (["--folds=1"], "expected at least 2"),
        (["--fold=2"], "Unknown command line flag 'fold'"),
    ):
        assert command_line.run(cross_validate.main, words(tmp_path, *change)) == 1
        assert message in capsys.readouterr().err
    assert len(training.trained) == 2


def test_changed_data_are_refused(
    tmp_path: pathlib.Path, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    training.stop_in = "fold_1"
    with pytest.raises(Stopped):
        cross_validate.main(words(tmp_path, "--folds=2"))
    source = SOURCES["tiny"]()
    fewer = {**source.splits, "train": source.splits["train"].take(np.arange(40))}
    changed = dataclasses.replace(source, splits=fewer)
    monkeypatch.setitem(SOURCES, "tiny", lambda: changed)
    with pytest.raises(UserError, match=r"data have changed since .*fold_0 was trained"):
        cross_validate.main(words(tmp_path, "--folds=2"))
    assert training.trained == ["fold_0"]


@pytest.mark.slow
def test_real_folds_are_predicted_by_the_weights_that_were_best_on_them(
    tmp_path: pathlib.Path, tiny: Callable[..., ConfigDict]
) -> None:
    (tmp_path / "recipe.py").write_text(RECIPE.replace('train="all"', 'train="predictions"'))
    table = tmp_path / "wrong.csv"
    table.write_text("name,label\n3.png,blue\n")
    cross_validate.main(words(tmp_path, "--folds=2", f"--config.data.corrections={table}"))
    found = predictions.load(epath.Path(tmp_path / "runs" / "out_of_fold.npz"))
    assert len(set(found.names)) == 50
    assert found.label[found.names.index("3.png")] == 2
    result = records.read_json(epath.Path(tmp_path / "runs" / "summary.json"))
    for number, fold in enumerate(result["folds"]):
        run = records.read_json(epath.Path(tmp_path / "runs" / f"fold_{number}" / "summary.json"))
        best = run["stages"][-1]["metrics"]
        assert fold["test"] == best["test"]
        for name in ("top1", "loss"):
            assert fold["validation"][name] == pytest.approx(best["validation"][name], rel=1e-4)

"""From Python: what the commands do."""

import logging
import os
import pathlib
import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

import efficientnet
from configs import common
from efficientnet.finetuning import api, finished_run
from efficientnet.runtime.preemption import Interrupt, Stopped


def recipe(photos: pathlib.Path) -> Any:
    config = common.get_config()
    config.variant, config.weights, config.resolution = "tiny", "", 32
    config.data.source, config.data.directory = "folders", str(photos)
    config.data.validation_fraction = 0.2
    config.batch_size = 8
    config.stages = (common.stage("head", train="predictions", epochs=1, learning_rate=1e-2),)
    return config


@pytest.fixture(scope="module")
def run(
    photos: pathlib.Path, tiny_network: None, tmp_path_factory: pytest.TempPathFactory
) -> efficientnet.FinishedRun:
    return efficientnet.train(recipe(photos), tmp_path_factory.mktemp("api") / "run")


@pytest.fixture
def no_logging() -> Iterator[None]:
    """Takes back what commands that ran in this process have set up."""
    levels = {logging.getLogger(name): logging.getLogger(name).level for name in api.PACKAGES}
    for logger in levels:
        logger.setLevel(logging.NOTSET)
    yield
    for logger, level in levels.items():
        logger.setLevel(level)


def test_a_run_can_do_what_the_commands_do(
    run: efficientnet.FinishedRun,
    photos: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result = run.evaluate()
    known = run.stages[-1].metrics.test
    assert result.metrics["top1"] == pytest.approx(known["top1"])
    assert result.metrics["loss"] == pytest.approx(known["loss"], rel=1e-4)
    assert len(result.predictions.names) == 10
    assert "top1" in str(result)
    assert run.evaluate("validation", stage="head").metrics["loss"] != result.metrics["loss"]

    found = run.predict([photos / "red", str(photos / "blue" / "1.png")], top=2)
    assert len(found) == 17
    assert found[-1].photo == str(photos / "blue" / "1.png")
    logits = run.network(np.asarray(Image.open(found[-1].photo).resize((32, 32)))[None])
    assert run.network.class_names[int(logits.argmax())] in found[-1].classes
    assert 0.5 < sum(found[-1].probabilities) <= 1
    assert str(found[-1]).startswith(f"{found[-1].photo}: {found[-1].classes[0]} ")

    picture = run.explain(photos / "red" / "1.png", of_class="red")
    assert picture.width > picture.height > 100
    assert "<iframe srcdoc=" in run.report._repr_html_()
    assert pathlib.Path(run.report).name == "index.html"
    assert "head" in str(run)

    exported: list[Any] = []
    monkeypatch.setattr(finished_run, "export", lambda *arguments: exported.append(arguments))
    assert run.export(tmp_path / "exported", ["tflite"]) == tmp_path / "exported"
    assert exported == [(run.network, tmp_path / "exported", ["tflite"], "the run run")]

    with pytest.raises(efficientnet.UserError, match="no split 'tests': expected one of test, val"):
        run.evaluate("tests")
    with pytest.raises(efficientnet.UserError, match="there is no class 'rot'"):
        run.explain(photos / "red" / "1.png", of_class="rot")
    with pytest.raises(efficientnet.UserError, match="in a bucket: expected a folder on this mach"):
        run.export("gs://bucket/exported")
    with pytest.raises(efficientnet.UserError, match="unknown format 'tfllite'"):
        run.export(tmp_path / "exported", ["tfllite"])


def test_everything_public_is_on_the_page_of_the_api() -> None:
    page = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text()
    for name in efficientnet.__all__:
        assert getattr(efficientnet, name).__doc__ or name == "VARIANTS", name
        assert name in page, name


@pytest.mark.usefixtures("no_logging")
def test_the_same_call_returns_the_finished_run(
    run: efficientnet.FinishedRun, photos: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = efficientnet.train(recipe(photos), run.folder)
    assert "this run is finished: nothing is left to train" in capsys.readouterr().out
    assert again.summary == run.summary == efficientnet.open_run(run.folder).summary


def test_finetune_decides_and_trains(
    photos: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Any] = []
    monkeypatch.setattr(api, "run", lambda config, folder, *_: begun.append((config, folder)))
    monkeypatch.setattr(api, "open_run", lambda folder: folder)
    monkeypatch.chdir(tmp_path)
    efficientnet.finetune(photos, "mine", batch_size=4, data={"group": r"(\d)"})
    ((config, folder),) = begun
    assert (config.data.directory, config.data.source, folder) == (str(photos), "folders", "mine")
    assert (config.batch_size, config.data.group, config.auto) == (4, r"(\d)", "quick")
    pytest.importorskip("elpv_dataset")
    efficientnet.finetune("elpv", "solar", "best")
    assert (begun[-1][0].data.source, begun[-1][0].data.directory) == ("elpv", "")
    assert begun[-1][0].channels == 1
    with pytest.raises(efficientnet.UserError, match=r"config\.batchsize: there is no such field"):
        efficientnet.finetune(photos, "other", batchsize=4)


def test_a_path_and_a_config_are_recipes_too(
    photos: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Any] = []
    monkeypatch.setattr(api, "run", lambda config, *_: begun.append(config))
    monkeypatch.setattr(api, "open_run", lambda folder: folder)
    efficientnet.train("configs/cars_lite0.py:head", tmp_path)
    efficientnet.train(common.parse(recipe(photos)), tmp_path)
    assert [config.variant for config in begun] == ["lite0", "tiny"]


def test_ctrl_c_saves_first_where_something_would_be_lost() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interrupt() as stop:
        stop.safe = False
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        stop.safe = True
    with Interrupt(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_stopped_run_says_so(
    photos: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise Stopped("stopped after step 3, which is saved")

    monkeypatch.setattr(api, "run", stopped)
    with pytest.raises(KeyboardInterrupt, match="stopped after step 3, which is saved"):
        efficientnet.train(recipe(photos), tmp_path)

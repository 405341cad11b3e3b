"""What was measured in training is measured again, photo by photo."""

import argparse
import dataclasses
import io
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath
from PIL import Image

from configs import common
from efficientnet.commands import command_line, evaluate, networks
from efficientnet.config import RunConfig
from efficientnet.errors import UserError
from efficientnet.inference.loading import load_run
from efficientnet.inference.network import Network
from efficientnet.network.model import EfficientNet
from efficientnet.network.variants import VARIANTS, Variant
from efficientnet.reporting import predictions, runs
from efficientnet.training import setup
from efficientnet.training.run import run
from efficientnet.weights.conventions import MEAN_STD
from input_pipeline.sources import SOURCES
from input_pipeline.sources.split import Source, Split, from_encoded

SORTED = ("blue", "green", "red")
TINY = Variant(width=0.25, depth=0.3, resolution=32, dropout=0.2)


def photos(count: int, classes: int) -> Split:
    """Photos that are brighter on the left, in the color of their class."""
    rng = np.random.default_rng(count)
    encoded = []
    for number in range(count):
        pixels = rng.normal(60, 30, (40, 36, 3))
        pixels[:, :18] += 40
        pixels[..., number % classes] += 120
        buffer = io.BytesIO()
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, format="PNG")
        encoded.append(buffer.getvalue())
    labels = [number % classes for number in range(count)]
    return from_encoded(encoded, [f"{number}.png" for number in range(count)], labels)


def source(classes: int, names: Sequence[str] = ("red", "green", "blue")) -> Source:
    splits = {"train": photos(40, classes), "test": photos(21, classes)}
    return Source("tiny", tuple(names[:classes]), splits)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    """A finished run of two stages on the source `three`; the source `two` has two classes."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VARIANTS, "tiny", TINY)
        patch.setitem(SOURCES, "three", lambda: source(3))
        patch.setitem(SOURCES, "two", lambda: source(2))
        patch.setitem(SOURCES, "sorted", lambda: source(3, SORTED))
        config = common.get_config()
        config.variant, config.weights, config.data.source = "tiny", "", "three"
        config.data.validation_fraction = 0.3
        config.batch_size = 8
        config.stages = (
            common.stage("head", train="predictions", epochs=1, learning_rate=1e-2),
            common.stage("all", train="all", epochs=1, batch_norm="trained", learning_rate=1e-2),
        )
        run(common.parse(config), str(folder))
        yield folder


def measured(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert command_line.run(evaluate.main, [*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_run_is_measured_as_in_training(
    workdir: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished = runs.load(str(workdir))
    output = tmp_path / "predictions.npz"
    for stage, words in (("all", []), ("head", ["--stage=head", "--batch=3"])):
        arguments = [f"--workdir={workdir}", f"--output={output}", *words]
        values = measured(capsys, *arguments)
        assert values["photos"] == 21
        expected = next(known for known in finished.stages if known.name == stage)
        for name, value in expected.metrics.test.items():
            assert values[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name
        kept, known = predictions.load(epath.Path(output)), finished.predictions(stage)
        np.testing.assert_allclose(kept.probabilities, known.probabilities, rtol=1e-4, atol=1e-6)
        assert (kept.names, kept.class_names) == (known.names, known.class_names)

    values = measured(capsys, f"--workdir={workdir}", "--split=validation")
    assert values["photos"] == finished.summary.photos.validation
    assert values["run_id"] == finished.run_id
    for name, value in finished.result.metrics.validation.items():
        assert values[name] == pytest.approx(value, rel=1e-4), name


def test_data_that_have_moved_are_found_and_changed_ones_named(
    workdir: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load, directories = setup.load_data, []

    def fewer(config: RunConfig, _: object) -> setup.Data:
        directories.append(config.data.directory)
        source = dataclasses.replace(config.data, directory="")  # the source needs none
        data = load(dataclasses.replace(config, data=source))
        return dataclasses.replace(data, test=data.test.take(np.arange(20)))

    monkeypatch.setattr(setup, "load_data", fewer)
    arguments = [f"--workdir={workdir}", "--stage=head", "--directory=/elsewhere", "--json"]
    assert command_line.run(evaluate.main, arguments) == 0
    said = capsys.readouterr()
    assert directories == ["/elsewhere"]
    assert json.loads(said.out.splitlines()[-1])["photos"] == 20
    assert "the data have changed since the run began (test had 21 photos, has 20)" in said.err


def test_the_loss_has_no_bound(
    workdir: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = load_run(str(workdir))
    classifier = run.variables["params"]["predictions"]
    classifier["kernel"], classifier["bias"] = 0 * classifier["kernel"], jnp.array([0, 0, 300.0])
    monkeypatch.setattr(networks, "load", lambda args: run)
    values = measured(capsys, f"--workdir={workdir}")
    assert values["loss"] == pytest.approx(200)  # a third of the photos is right


def test_the_table_shows_any_k_and_flips(
    workdir: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = measured(capsys, f"--workdir={workdir}", "--top", "2", "7")
    assert plain["top7"] == 1.0
    assert "top5" not in plain
    flipped = measured(capsys, f"--workdir={workdir}", "--flip")
    assert flipped["flip"]
    assert flipped["loss"] != plain["loss"]
    assert command_line.run(evaluate.main, [f"--workdir={workdir}", "--split=train"]) == 0
    said = capsys.readouterr()
    for words in ("28 photos of train", "top1", "calibration_error", "images/s"):
        assert words in said.out
    assert "evaluating: 100%" in said.err


def test_weights_are_measured_on_any_data(
    workdir: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_run = measured(capsys, f"--workdir={workdir}")
    by_weights = measured(capsys, f"--weights={workdir}", "--data=three")
    assert by_weights["top1"] == by_run["top1"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--weights={}", "--data=two"], "has 3 classes, but the data 'two' has 2: fine-tune"),
        (["--weights={}", "--data=sorted"], "another order (class 0 was 'red', is 'blue'): use"),
        (["--weights={}", "--data=three", "--split=validation"], "'three' has train, test"),
        (["--weights={}"], "--weights needs --data"),
        (["--workdir={}", "--data=three"], "--workdir has its own data"),
        (["--workdir={}", "--top", "0"], "should be positive numbers"),
        (["--workdir={}/none"], "is no run's workdir"),
    ],
)
def test_what_does_not_fit_is_refused(
    workdir: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    assert command_line.run(evaluate.main, [word.format(workdir) for word in words]) == 1
    assert message in capsys.readouterr().err


def test_a_run_whose_classes_have_moved_is_refused(
    workdir: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(SOURCES, "three", lambda: source(3, SORTED))
    assert command_line.run(evaluate.main, [f"--workdir={workdir}"]) == 1
    assert "the data 'three' has other classes than the network" in capsys.readouterr().err


def test_classes_of_weights_may_be_spelled_otherwise_but_not_permuted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(SOURCES, "sorted", lambda: source(3, SORTED))
    args = argparse.Namespace(
        workdir=None, weights="w", data="sorted", directory=None, split="test"
    )
    module = EfficientNet(TINY, num_classes=3)
    spelled = Network(module, {}, MEAN_STD, ("Blue", "Green", "Red"), 32, "squash")
    class_names, split = evaluate.open_split(args, spelled)
    assert (class_names, len(split)) == (SORTED, 21)
    with pytest.raises(UserError, match=r"another order \(class 0 was 'red', is 'blue'\)"):
        evaluate.open_split(args, dataclasses.replace(spelled, class_names=SORTED[::-1]))

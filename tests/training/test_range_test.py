"""`learning_rate="auto"`: a stage trains with the rate that its range test suggests."""

import dataclasses
import json
import pathlib
from collections.abc import Callable
from typing import Any

import pages
import pytest
import tiny as tiny_run
from ml_collections import ConfigDict
from PIL import Image

from efficientnet.commands import command_line, find_rate, recipes
from efficientnet.reporting import runs
from efficientnet.training import range_test, trainer
from efficientnet.training.run import run
from input_pipeline.sources import SOURCES

Recipe = Callable[..., ConfigDict]
RECIPE = """
import tiny
from configs import common


def get_config():
    head = common.stage("head", "predictions", 1, learning_rate="auto", cached_copies=2)
    late = common.stage("late", "predictions", 2, learning_rate="auto", warmup_epochs=0.5)
    return tiny.tiny_recipe(head, late)
"""


@pytest.fixture(scope="module")
def recipe(tiny: Recipe, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("recipe") / "recipe.py"
    path.write_text(RECIPE)
    return path


def read(recipe: pathlib.Path, *overrides: str) -> Any:
    return recipes.read(str(recipe), overrides)


@pytest.fixture(scope="module")
def resumed(recipe: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The workdir of a finished run that was killed in its second stage; only read."""
    folder = tmp_path_factory.mktemp("run")
    validate = trainer.Trainer._validate

    def kill(self: Any, *args: Any) -> Any:
        record = validate(self, *args)
        if len(self.progress.history) == 3:
            self.checkpoints.close()
            raise KeyboardInterrupt
        return record

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer.Trainer, "_validate", kill)
        with pytest.raises(KeyboardInterrupt):
            run(read(recipe), str(folder))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(range_test, "run", None)  # a second test would fail
        run(read(recipe), str(folder))
    return folder


def suggestions(folder: pathlib.Path) -> list[float]:
    found = [stage.range_test for stage in runs.load(str(folder)).stages]
    return [test.suggestion for test in found if test]


@pytest.mark.slow
def test_the_found_rates_stand_for_the_recipes(
    resumed: pathlib.Path, recipe: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    overrides = [
        f"--config.stages[{number}].learning_rate={rate!r}"
        for number, rate in enumerate(suggestions(resumed))
    ]
    assert len(overrides) == 2
    given = run(read(recipe, *overrides), str(tmp_path))
    found = runs.load(str(resumed)).summary
    assert given.history == found.history
    assert [stage.range_test for stage in given.stages] == [None, None]
    stages = json.loads((tmp_path / "summary.json").read_text())["stages"]
    assert not any("range_test" in stage for stage in stages)
    assert not (tmp_path / "rates").exists()


@pytest.mark.slow
def test_the_plots_are_in_the_workdir_and_the_report(resumed: pathlib.Path) -> None:
    for name in ("head", "late"):
        with Image.open(resumed / "rates" / f"{name}.png") as picture:
            assert picture.format == "PNG"
    page = pages.assert_self_contained((resumed / "report/index.html").read_bytes())
    assert "Learning rates" in page.text
    content = (resumed / "report/index.html").read_text()
    assert content.count("Range test of") == 2


@pytest.mark.slow
def test_the_command_finds_what_the_run_found(
    resumed: pathlib.Path,
    recipe: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, found in zip(("head", "late"), suggestions(resumed), strict=True):
        words = [f"--config={recipe}", f"--stage={name}", f"--output={tmp_path}/{name}.png"]
        words += [f"--workdir={resumed}", "--json"]
        assert command_line.run(find_rate.main, words) == 0
        said = capsys.readouterr().out.splitlines()
        assert said[0] == f"wrote {tmp_path}/{name}.png; suggestion for stage {name}: {found:.2g}"
        result = json.loads(said[-1])
        assert result["suggestion"] == pytest.approx(found)
        assert len(result["rates"]) == len(result["losses"]) <= 100
        assert (tmp_path / f"{name}.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--stage=late"], "give --workdir=RUN of a run that has trained it"),
        (["--stage=tail"], "--stage=tail: the recipe has the stages head, late"),
        (
            ["--stage=late", "--workdir=x", "--config.stages[1].start=last"],
            "the last weights of the stage before, which a run does not keep",
        ),
    ],
)
def test_a_wrong_argument_is_one_sentence(
    words: list[str],
    message: str,
    recipe: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = [f"--config={recipe}", f"--output={tmp_path}/rate.png", *words]
    assert command_line.run(find_rate.main, command) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_run_of_other_classes_is_refused(
    resumed: pathlib.Path,
    recipe: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = dataclasses.replace(tiny_run.tiny_source(), class_names=("red", "green", "violet"))
    monkeypatch.setitem(SOURCES, "tiny", lambda: source)
    words = [f"--config={recipe}", "--stage=late", f"--workdir={resumed}"]
    assert command_line.run(find_rate.main, [*words, f"--output={tmp_path}/rate.png"]) == 1
    assert "is a run of other classes than the recipe's" in capsys.readouterr().err

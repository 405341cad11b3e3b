"""Runs side by side from the command line."""

import json
import pathlib

import made_up
import numpy as np
import pages
import pytest

from efficientnet.commands import command_line, compare
from efficientnet.paths import printable
from efficientnet.reporting import runs
from input_pipeline.sources import SOURCES
from input_pipeline.sources.split import Source


@pytest.fixture
def two(tmp_path: pathlib.Path) -> list[str]:
    folders = [tmp_path / "one", tmp_path / "two"]
    for seed, folder in enumerate(folders):
        folder.mkdir()
        made_up.run(folder, seed=seed)
    return [str(folder) for folder in folders]


def test_runs_become_a_table_and_a_page(
    two: list[str], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "comparison"
    assert command_line.run(compare.main, [*two, f"--output={output}", "--json"]) == 0
    said = capsys.readouterr().out
    result = json.loads(said.splitlines()[-1])
    assert [row["run"] for row in result["runs"]] == ["one", "two"]
    for row in result["runs"]:
        assert f"{100 * row['top1']:.1f} %" in said
    page = (output / "index.html").read_text()
    assert result["no_run_got_right"]
    assert "the page shows no photos: unknown data source 'made_up'" in said
    for name in result["no_run_got_right"]:
        assert name.replace("<", "&lt;").replace(">", "&gt;") in page


def test_the_hardest_photos_are_shown_if_they_are_there(
    two: list[str], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    photos = made_up.split(runs.load(two[0]).predictions("all"))
    source = Source("made_up", ("a", "b", "c"), {"train": photos, "test": photos})
    monkeypatch.setitem(SOURCES, "made_up", lambda: source)
    output = tmp_path / "comparison"
    assert command_line.run(compare.main, [*two, f"--output={output}"]) == 0
    assert "shows no photos" not in capsys.readouterr().out
    assert "figure" in pages.assert_self_contained((output / "index.html").read_bytes()).tags
    source.splits["test"] = photos.take(np.arange(3))
    assert command_line.run(compare.main, [*two, f"--output={output}"]) == 0
    assert "have no test photo" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["lr_$1_vs_$2", "_run", "a\nb", "x" * 255, "<b>", "🌹%d"])
def test_runs_with_odd_names_are_compared(
    name: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [str(tmp_path / "plain"), str(tmp_path / name)]
    for seed, folder in enumerate(folders):
        made_up.run(folder, seed=seed)
    output = tmp_path / "comparison"
    assert command_line.run(compare.main, [*folders, f"--output={output}"]) == 0
    assert printable(name) in capsys.readouterr().out
    assert printable(name) in pages.assert_self_contained((output / "index.html").read_bytes()).text


def test_a_page_that_can_not_be_written_is_one_sentence(
    two: list[str], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert command_line.run(compare.main, [*two, f"--output={tmp_path / 'file' / 'page'}"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: can't write to the folder")
    assert f"{tmp_path / 'file'} is a file" in error
    assert error.count("\n") == 1


def test_runs_of_other_photos_are_refused(
    two: list[str], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "three").mkdir()
    made_up.run(tmp_path / "three", truth=1)
    words = [*two, str(tmp_path / "three"), f"--output={tmp_path / 'comparison'}"]
    assert command_line.run(compare.main, words) == 1
    assert "were tested on different photos" in capsys.readouterr().err
    assert not (tmp_path / "comparison").exists()


def test_runs_are_compared_by_a_field(
    two: list[str], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = tmp_path / "begun"
    made_up.run(begun)
    (begun / "summary.json").unlink()
    words = ["--by", "seed", *two, str(begun), f"--output={tmp_path / 'page'}", "--json"]
    assert command_line.run(compare.main, words) == 0
    said = capsys.readouterr().out
    assert f"left out: the run in {begun} is not finished" in said
    result = json.loads(said.splitlines()[-1])
    assert [(row["run"], row["config.seed"]) for row in result["runs"]] == [("one", 0), ("two", 1)]
    for row in result["runs"]:
        assert f"{100 * row['validation.top1']:.1f} %" in said
    assert (tmp_path / "page" / "by_field.html").exists()


def test_a_metric_without_a_field_is_refused(
    two: list[str], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*two, f"--output={tmp_path / 'page'}", "--metric=test.top1"]
    assert command_line.run(compare.main, words) == 1
    assert "--metric=test.top1 goes with --by" in capsys.readouterr().err

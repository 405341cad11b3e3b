"""The command line: what is wrong with it is one sentence on stderr, and the exit status is 1."""

import pathlib
import subprocess
import sys

import pytest

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
DEMO = "--config=configs/solar_lite0.py"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--config is missing"),
        ([DEMO], "--workdir is missing"),
        ([DEMO, "--workdir=W", "--config.nope=1"], "no such field 'nope', see configs/common.py"),
        ([DEMO, "--workdir=W", "--config.seed=one"], "--config.seed=one: invalid literal for int"),
        ([DEMO, "--workdir=W", "--config.stages[9].epochs=1"], "the config has fewer stages"),
        ([DEMO, "--workdir=W", "--wrkdir=W"], "Unknown command line flag 'wrkdir'"),
        (["--config=configs/none.py", "--workdir=W"], "configs/none.py: there is no such file"),
        (
            ["--config=configs/none.py", "--workdir=W", "--config.seed=1"],
            "--config.seed=1: there is no such file",
        ),
        (
            ["--config=configs/cars_lite0.py:x", "--workdir=W"],
            "expected one of all, blocks67, progressive",
        ),
    ],
)
def test_a_wrong_command_line_is_one_sentence(
    arguments: list[str], message: str, tmp_path: pathlib.Path
) -> None:
    arguments = [argument.replace("=W", f"={tmp_path / 'run'}") for argument in arguments]
    done = subprocess.run(
        [sys.executable, "train.py", *arguments], cwd=CHECKOUT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()

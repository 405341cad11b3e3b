"""The command line: one sentence for what is wrong, and signals answered from the first line on."""

import os
import pathlib
import subprocess
import sys

import pytest

from efficientnet.runtime.preemption import STOPPED

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
DEMO = "--config=configs/solar_lite0.py"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--config is missing"),
        ([DEMO], "--workdir is missing"),
        (
            [DEMO, "--workdir=W", "--config.nope=1"],
            "config.nope: there is no such field, see efficientnet/config.py",
        ),
        ([DEMO, "--workdir=W", "--config.seed=one"], "--config.seed=one: invalid literal for int"),
        ([DEMO, "--workdir=W", "--config.stages[9].epochs=1"], "the config has fewer stages"),
        ([DEMO, "--workdir=W", "--wrkdir=W"], "Unknown command line flag 'wrkdir'"),
        (["--config=configs/none.py", "--workdir=W"], "configs/none.py: there is no such file"),
        (
            ["--config=configs/none.py", "--workdir=W", "--config.seed=1"],
            "--config=configs/none.py: there is no such file",
        ),
        (
            ["--config=configs/cars_lite0.py:x", "--workdir=W"],
            "expected one of all, blocks67",
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


# Python runs it before train.py: the process sends itself a signal at a moment of its start.
SITECUSTOMIZE = """
import os, signal, sys

def send():
    os.kill(os.getpid(), signal.{signal})

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "{moment}":
            send()

sys.meta_path.insert(0, Finder())
if "{moment}" == "exec":
    execve = os.execve
    os.execve = lambda *arguments: (send(), execve(*arguments))
"""


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("SIGTERM", "exec"),
        ("SIGTERM", "absl"),
        ("SIGINT", "ml_collections"),
        ("SIGTERM", "jax"),
        ("SIGTERM", "tensorflow"),
    ],
)
def test_a_signal_is_answered_while_modules_are_imported(
    name: str, moment: str, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SITECUSTOMIZE.format(signal=name, moment=moment))
    environment = {k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"}
    done = subprocess.run(
        [sys.executable, "train.py", DEMO, f"--workdir={tmp_path / 'run'}"],
        cwd=CHECKOUT,
        env=environment | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == STOPPED
    assert done.stderr == f"\n{name}: stopped; the same command resumes\n"
    assert not (tmp_path / "run").exists()

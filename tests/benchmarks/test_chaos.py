"""The real command, killed a few times, ends bit-identical."""

import pathlib
import random
import signal

import pytest
from etils import epath

from benchmarks import chaos

# Takes its time before it listens to signals, and then saves.
SLOW_START = """
import pathlib, signal, sys, time
time.sleep(1)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
workdir = pathlib.Path(sys.argv[-1].removeprefix("--workdir="))
(workdir / "checkpoints/latest/4.orbax-checkpoint-tmp").mkdir(parents=True)
signal.pause()
"""


def test_what_an_earlier_kill_has_left_is_not_taken_for_a_save(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "train.py").write_text(SLOW_START)
    (tmp_path / "killed0/checkpoints/latest/2.orbax-checkpoint-tmp").mkdir(parents=True)
    monkeypatch.setattr(chaos, "CHECKOUT", tmp_path)
    run = chaos.Run(tmp_path, epath.Path(tmp_path), epochs=2)
    ended = run.kill("killed0", "save", signal.SIGTERM, random.Random(0))
    assert str(ended).startswith("status 75 ")


def check(folder: pathlib.Path, workdirs: epath.Path) -> None:
    pytest.importorskip("elpv_dataset")
    result = chaos.chaos(folder, workdirs, kills=3, rng=random.Random(1))
    assert result["kills"] == 3
    assert result["differences"] == []
    assert result["bits_differ"] == 0


@pytest.mark.slow
def test_a_run_survives_being_killed(tmp_path: pathlib.Path) -> None:
    check(tmp_path, epath.Path(tmp_path))


@pytest.mark.slow
@pytest.mark.usefixtures("quick_processes")
def test_a_run_in_a_bucket_survives_being_killed(tmp_path: pathlib.Path, bucket) -> None:
    check(tmp_path, bucket.root / "runs")

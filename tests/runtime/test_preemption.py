"""A run that is asked to stop saves, ends, and goes on as if nothing had been."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from etils import epath
from ml_collections import ConfigDict

from benchmarks import saved_runs
from configs import common
from efficientnet.config import RunConfig, StageConfig
from efficientnet.runtime import preemption
from efficientnet.runtime.preemption import STOPPED, Stop, Stopped
from efficientnet.training.checkpoints import CheckpointPolicy
from efficientnet.training.evaluate import Evaluator
from efficientnet.training.run import run
from efficientnet.training.trainer import Trainer

Recipe = Callable[..., ConfigDict]
CHECKOUT = pathlib.Path(__file__).resolve().parents[2]


def test_ctrl_c_and_sigterm_are_heard_and_then_left_as_they_were() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        before = signal.getsignal(number)
        with Stop() as stop:
            stop.safe = False
            assert not stop.requested
            os.kill(os.getpid(), number)
            assert stop._requested.wait(60)
        assert signal.getsignal(number) is before


def test_each_step_that_ends_renews_the_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several processes, all save after a step that comes some steps after the signal."""
    monkeypatch.setattr(preemption, "PATIENCE_SECONDS", 3600.0)
    with Stop(alone=False) as stop:
        stop.safe = False
        ask_to_stop(stop)
        first = stop._timer
        CheckpointPolicy(RunConfig(stages=(StageConfig("all", "all", 1),)), stop).save_is_due(1)
        assert first is not None
        assert stop._timer is not None
        assert first.finished.is_set()
        assert not stop._timer.finished.is_set()


@pytest.mark.parametrize(
    ("safe", "count", "status"),
    [(True, 1, STOPPED), (False, 2, 128 + signal.SIGTERM), (True, 2, STOPPED)],
)
def test_a_process_that_answers_nothing_ends_at_once(safe: bool, count: int, status: int) -> None:
    """Where nothing would be lost, at the first signal; else at the second."""
    code = (
        "import os, signal\n"
        "from efficientnet.runtime.preemption import Stop\n"
        "with Stop() as stop:\n"
        f"    stop.safe = {safe}\n"
        "    for _ in range({count}):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        stop._requested.wait()\n"
        "    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])\n"
        "    signal.sigwait([signal.SIGALRM])\n"
    ).replace("{count}", str(count))
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, timeout=120)
    assert done.returncode == status


def two_stages(tiny: Recipe) -> ConfigDict:
    config = tiny(
        common.stage("head", train="predictions", epochs=1, learning_rate=1e-2),
        common.stage("late", train="block6-", epochs=2, ema_decay=0.9),
    )
    config.log_every_steps = 1
    return config


def ask_to_stop(stop: Stop) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    assert stop._requested.wait(60)


def assert_same_end(one: pathlib.Path, other: pathlib.Path) -> None:
    arrays = [saved_runs.read_arrays(epath.Path(run) / "checkpoints") for run in (one, other)]
    assert arrays[0].keys() == arrays[1].keys()
    assert [
        name for name in arrays[0] if not np.array_equal(arrays[0][name], arrays[1][name])
    ] == []
    drawn = [saved_runs.read_curves(epath.Path(run) / "tensorboard") for run in (one, other)]
    for points in drawn:
        rates = points.pop("train/images_per_second")
        assert [step for step, _ in rates] == list(range(1, 16))
    assert drawn[0] == drawn[1]


def test_a_stopped_run_goes_on_exactly(
    tiny: Recipe, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in a step, in the last one of an epoch, while it validates, before it tests."""
    # A busy machine must not end the tests' own process.
    monkeypatch.setattr(preemption, "PATIENCE_SECONDS", 3600.0)
    run(common.parse(two_stages(tiny)), str(tmp_path / "whole"))

    write, evaluate, end_stage = Trainer._write, Evaluator.__call__, Trainer._end_stage

    def stop_in_step(step: int) -> None:
        def stopping_write(self: Trainer, split: str, scalars: Mapping[str, Any]) -> None:
            write(self, split, scalars)
            if split == "train" and self.progress.global_step == step:
                ask_to_stop(self._stop)

        monkeypatch.setattr(Trainer, "_write", stopping_write)

    def stop_in_evaluation(number: int) -> None:
        left = [number]

        def stopping_evaluate(self: Evaluator, *arguments: Any) -> Any:
            left[0] -= 1
            if not left[0]:
                assert self._stop is not None
                ask_to_stop(self._stop)
            return evaluate(self, *arguments)

        monkeypatch.setattr(Evaluator, "__call__", stopping_evaluate)

    def stop_before_test() -> None:
        def stopping_end_stage(self: Trainer, *arguments: Any) -> None:
            self._stop.safe = False
            ask_to_stop(self._stop)
            self._stop.safe = True
            end_stage(self, *arguments)

        monkeypatch.setattr(Trainer, "_end_stage", stopping_end_stage)

    for saved, prepare in (
        (3, lambda: stop_in_step(3)),
        (5, lambda: stop_in_step(5)),
        # What is left to do at step 5 is validation and test; the next validation is two-fold.
        (10, lambda: stop_in_evaluation(4)),
        (13, lambda: stop_in_step(13)),
        (15, stop_before_test),
    ):
        prepare()
        with pytest.raises(Stopped, match=f"after step {saved},"):
            run(common.parse(two_stages(tiny)), str(tmp_path / "stopped"))
        monkeypatch.setattr(Trainer, "_write", write)
        monkeypatch.setattr(Evaluator, "__call__", evaluate)
        monkeypatch.setattr(Trainer, "_end_stage", end_stage)
    run(common.parse(two_stages(tiny)), str(tmp_path / "stopped"))
    assert_same_end(tmp_path / "whole", tmp_path / "stopped")


def test_in_the_middle_of_a_stage_the_weights_of_the_one_before_are_not_needed(
    tiny: Recipe, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preemption, "PATIENCE_SECONDS", 3600.0)
    write = Trainer._write

    def stopping_write(self: Trainer, split: str, scalars: Mapping[str, Any]) -> None:
        write(self, split, scalars)
        if split == "train" and self.progress.global_step == 8:
            ask_to_stop(self._stop)

    monkeypatch.setattr(Trainer, "_write", stopping_write)
    with pytest.raises(Stopped, match="after step 8,"):
        run(common.parse(two_stages(tiny)), str(tmp_path))
    monkeypatch.setattr(Trainer, "_write", write)
    shutil.rmtree(tmp_path / "checkpoints/best/head")
    assert run(common.parse(two_stages(tiny)), str(tmp_path)).status == "finished"

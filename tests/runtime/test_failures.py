"""Whatever happens to a run: one sentence, the last checkpoint intact, and it goes on."""

import errno
import logging
import os
import pathlib
import shutil
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

import jax
import pytest
from clu import metric_writers
from clu.asynclib import AsyncError
from etils import epath
from ml_collections import ConfigDict

from configs import common
from efficientnet.errors import UserError
from efficientnet.runtime import failures
from efficientnet.training.checkpoints import Checkpoints
from efficientnet.training.run import run
from efficientnet.training.trainer import Trainer
from efficientnet.training.workdir import LOCK
from input_pipeline.quiet_tensorflow import tf

Recipe = Callable[..., ConfigDict]


@pytest.fixture
def locked(tmp_path: pathlib.Path) -> epath.Path:
    """A workdir that is there: it holds its lock."""
    (tmp_path / LOCK).write_text("")
    return epath.Path(tmp_path)


def os_error(number: int, name: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), name)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (os_error(errno.ENOSPC, "/w/x"), "/w/x can't be written, the disk is full: make room"),
        (os_error(errno.EROFS, "/w/x"), "the disk is read-only: make it writable"),
        (os_error(errno.EDQUOT), "the disk quota is used up"),
        (os_error(errno.EIO), "can't be read or written, the disk doesn't respond"),
        (os_error(errno.EACCES, "/w/x"), "/w/x can't be read or written, it is not permitted"),
        (
            tf.errors.PermissionDeniedError(None, None, "/photos/a.jpg; Permission denied"),
            r"^the photos can no longer be read: .* \(/photos/a.jpg; Permission denied\)$",
        ),
        (
            tf.errors.ResourceExhaustedError(None, None, "/w/tfevents; No space left on device"),
            "can't be written, the disk is full",
        ),
        (ValueError("RESOURCE_EXHAUSTED: x: No space left on device [x]"), "the disk is full"),
        (MemoryError(), "the host is out of memory: lower config.batch_size"),
        (
            jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes."),
            "the device is out of memory: lower config.batch_size",
        ),
        (
            AsyncError("Error 'x' occurred ASYNCHRONOUSLY."),
            "writing the TensorBoard logs below .* failed",
        ),
        (
            tf.errors.PermissionDeniedError(None, None, "permission denied:\n reading gs://mine/a"),
            "gs://mine/a can't be reached: check .*; what is saved is intact",
        ),
        (UserError("the sky is low"), "^the sky is low$"),
    ],
)
def test_a_fault_is_one_sentence(error: Exception, sentence: str, locked: epath.Path) -> None:
    def end(cause: Exception | None = None) -> None:
        with failures.explained(locked, LOCK):
            if cause is None:
                raise error
            try:
                raise error
            finally:  # closing fails, too, because of it
                raise cause

    for cause in (None, RuntimeError("closing failed")):
        with pytest.raises(UserError, match=sentence) as raised:
            end(cause)
        assert "\n" not in str(raised.value)


def test_what_orbax_leaves_behind_is_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = []
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr(sys, "__unraisablehook__", lambda raised: shown.append(raised.exc_value))
    absl, asyncio = (logging.getLogger(name) for name in ("absl", "asyncio"))
    monkeypatch.setattr(asyncio, "level", asyncio.level)
    monkeypatch.setattr(absl, "filters", [])
    failures.silence_failed_saves()
    closed, mistake = RuntimeError("Event loop is closed"), RuntimeError("a mistake")
    for error in (closed, mistake):
        sys.unraisablehook(types.SimpleNamespace(exc_value=error))  # type: ignore[arg-type]
    assert shown == [mistake]
    record = logging.LogRecord("absl", logging.ERROR, "", 0, "raised", (), None)
    assert absl.filter(record)
    record.exc_info = (RuntimeError, RuntimeError("x"), None)
    assert not absl.filter(record)


def test_a_mistake_in_the_program_is_shown_whole(locked: epath.Path) -> None:
    with pytest.raises(KeyError, match="mistake"), failures.explained(locked, LOCK):
        raise KeyError("mistake")


def recipe(tiny: Recipe) -> ConfigDict:
    config = tiny(common.stage("head", train="predictions", epochs=2))
    config.checkpoint_every_steps = 2
    config.log_every_steps = 1
    return config


def goes_on(tiny: Recipe, workdir: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.clear()
    with caplog.at_level("INFO", "efficientnet"):
        assert run(common.parse(recipe(tiny)), str(workdir)).status == "finished"
    assert any("resuming after step" in message for message in caplog.messages)
    assert not any("damaged" in message for message in caplog.messages)


def fail_at(step: int, action: Callable[[], None]) -> Callable[..., None]:
    """A `Trainer._write` that does something first, from a step on."""
    original = Trainer._write

    def write(self: Trainer, split: str, scalars: Mapping[str, Any]) -> None:
        if self.progress.global_step >= step:
            action()
        original(self, split, scalars)

    return write


def test_a_full_disk(
    tiny: Recipe,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    original = Checkpoints.save_latest

    def full(self: Checkpoints, step: int, *arguments: Any) -> None:
        if step > 5:
            raise os_error(errno.ENOSPC, "x")
        original(self, step, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save_latest", full)
        with pytest.raises(UserError, match="the disk is full: make room, what is saved is"):
            run(common.parse(recipe(tiny)), str(tmp_path))
    goes_on(tiny, tmp_path, caplog)


def test_a_thread_that_dies(
    tiny: Recipe,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    original = metric_writers.SummaryWriter.write_scalars

    def dying(self: Any, step: int, scalars: Any) -> None:
        if step > 5:
            raise RuntimeError("killed by the operator")
        original(self, step, scalars)

    with monkeypatch.context() as patch:
        patch.setattr(metric_writers.SummaryWriter, "write_scalars", dying)
        with pytest.raises(UserError, match=r"writing the TensorBoard logs below .* operator"):
            run(common.parse(recipe(tiny)), str(tmp_path))
    goes_on(tiny, tmp_path, caplog)


def test_memory_that_runs_out(
    tiny: Recipe,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> None:
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.")

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_write", fail_at(6, fail))
        with pytest.raises(UserError, match="the device is out of memory"):
            run(common.parse(recipe(tiny)), str(tmp_path))
    goes_on(tiny, tmp_path, caplog)


def test_a_workdir_that_vanishes(
    tiny: Recipe, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workdir = tmp_path / "run"
    original = Checkpoints.save_latest

    def away(self: Checkpoints, step: int, *arguments: Any) -> None:
        if step > 3:
            self.wait()  # Orbax's threads would complain of what they were about to write
            shutil.rmtree(workdir)
        original(self, step, *arguments)

    monkeypatch.setattr(Checkpoints, "save_latest", away)
    with pytest.raises(UserError, match="has vanished: put it back"):
        run(common.parse(recipe(tiny)), str(workdir))


def test_a_workdir_that_cannot_be_made(
    tiny: Recipe, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--workdir=.* can't be made"):
        run(common.parse(recipe(tiny)), str(tmp_path / "file" / "run"))

"""What a report of a bug needs is printed, also where what it is about is broken."""

import importlib.metadata
import os
import pathlib
import subprocess
import sys

import pytest

from efficientnet import environment

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent


def test_a_jax_that_crashes_is_one_line_among_the_others(tmp_path: pathlib.Path) -> None:
    (tmp_path / "jax.py").write_text("import os\nos.abort()\n")
    (tmp_path / "tensorflow.py").write_text("raise ImportError('no such symbol')\n")
    done = subprocess.run(
        [sys.executable, "-m", "efficientnet.environment"],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(tmp_path), str(CHECKOUT))),
            "EFFICIENTNET_CACHE": "gs://bucket",
            "XLA_FLAGS": "--xla_example",
            "HF_TOKEN": "secret",
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    found = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert found["JAX"] == "error: no message (exit status -6)"
    assert found["TensorFlow"] == "error: ImportError: no such symbol (exit status 1)"
    assert found["Python"].endswith(sys.executable)
    assert found["OpenCV"] == importlib.metadata.version("opencv-python-headless").rsplit(".", 1)[0]
    assert found["cache"].startswith("error: EFFICIENTNET_CACHE=gs://bucket is in a bucket")
    assert found["XLA_FLAGS"] == "--xla_example"
    assert found["numpy"] == importlib.metadata.version("numpy")
    assert "secret" not in done.stdout
    assert not done.stderr


def test_what_hangs_or_is_missing_is_said(tmp_path: pathlib.Path) -> None:
    endless = [sys.executable, "-c", "import threading; threading.Event().wait()"]
    assert environment.answer(endless, seconds=0.5) == "error: no answer within 0.5 s"
    assert environment.answer([str(tmp_path / "none")]).startswith("error: [Errno 2] No such file")


def test_versions_outside_their_ranges_are_conflicts(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = ["jax<0.13,>=0.7.2", "pytest", "none>=1", "numpy<1; sys_platform == 'none'", "tqdm<1"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: needed)
    assert list(environment.conflicts()) == [
        "none is not installed, expected >=1",
        f"tqdm {importlib.metadata.version('tqdm')}, expected <1",
    ]

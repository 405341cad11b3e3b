"""Compiling for a GPU that is not there; its compiler is not among the tests' packages."""

import pytest

from benchmarks import compile_gpu
from efficientnet.commands import command_line


@pytest.mark.parametrize(
    ("argument", "reason"),
    [("--batch=0", "--batch=0: expected at least 1"), ("--batch=8", "pip install --no-deps")],
)
def test_what_is_wrong_or_missing_is_named(
    argument: str,
    reason: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compile_gpu, "PACKAGES", ("jax_plugins_of_nobody.cuda",))
    command = ["--config=configs/cars_b0.py", "--classes=3", argument]
    assert command_line.run(compile_gpu.main, command) == 1
    assert reason in capsys.readouterr().err

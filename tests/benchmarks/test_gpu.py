"""The command that measures a GPU, on the CPU: what it compares, and its table."""

import pathlib

import numpy as np
import pytest

from benchmarks import gpu
from benchmarks.rates import repeatability
from efficientnet.commands import command_line


@pytest.mark.slow
def test_the_cpu_agrees_with_itself_on_a_network_that_tells_images_apart() -> None:
    found = repeatability.platforms("", small=True)
    assert set(found["differences"].values()) == {0.0}
    assert found["largest_logit"] > 0.1


@pytest.mark.slow
def test_a_restart_is_compared_array_by_array(tmp_path: pathlib.Path) -> None:
    half = tmp_path / "half.npz"
    whole = repeatability.train(True, None, None, 2)
    repeatability.train(True, None, half, 1)
    assert repeatability.train(True, half, None, 1) == whole

    with np.load(half) as saved:
        arrays = dict(saved)
    changed = max(arrays, key=lambda name: arrays[name].size)
    np.savez(half, **{**arrays, changed: arrays[changed] + np.float32(0.01)})
    other = repeatability.train(True, half, None, 1)
    assert other.keys() == whole.keys()
    assert other != whole


def test_rates_stand_beside_the_peers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def contest(contenders: list, *_: object) -> list[dict]:
        *ours, peer = (contender.name for contender in contenders)
        common = {"ready_seconds": 61.2, "peak_device_memory_mb": 9700.0}
        theirs = {"contender": peer, "images_per_second": 6739.0, "relative": {}, **common}
        return [
            {"contender": name, "images_per_second": rate, "relative": {peer: 1.304}, **common}
            for name, rate in zip(ours, (8792.0, 9100.0, 9500.0, 9999.0), strict=True)
        ] + [theirs]

    monkeypatch.setattr(gpu, "contest", contest)
    monkeypatch.setattr(gpu, "_alone", lambda function, *arguments: function(*arguments))
    caches = []
    monkeypatch.setattr(repeatability, "first_step", lambda small, cache: caches.append(cache))
    assert command_line.run(gpu.main, ["--only=train,start"]) == 0
    out = capsys.readouterr().out
    assert len(caches) == 2
    assert len(set(caches)) == 1
    assert "first training step, compiled before" in out
    row = next(line for line in out.splitlines() if "trained BatchNorm" in line)
    for cell in ("b0, 224 px, batch 256, bfloat16", "8,792 images/s", "6,739 images/s", "1.30"):
        assert cell in row
    assert "9.7 GB" in row
    assert "61 s" in row
    assert "frozen BatchNorm" in out
    assert "trained BatchNorm, algorithms by timing" in out
    assert "trained BatchNorm, depthwise kernels of Pallas" in out


def test_an_unknown_part_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.run(gpu.main, ["--only=exactness,speed"]) == 1
    assert "--only=exactness,speed: expected some of exactness, resume" in capsys.readouterr().err

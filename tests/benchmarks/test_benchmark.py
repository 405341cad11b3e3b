"""The contest with stand-ins, and the real steps at a size that takes seconds."""

import json
import os
import pathlib
from typing import Any

import contenders
import pytest

from benchmarks import benchmark
from benchmarks.rates.contest import Contender, contest
from benchmarks.rates.workload import Setting
from efficientnet.commands import command_line

SETTING = Setting("b0", batch=2, resolution=32, dtype="float32", batch_norm="trained")
HERE = "contenders"


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    helpers = pathlib.Path(contenders.__file__).parent
    monkeypatch.setenv("PYTHONPATH", str(helpers), prepend=os.pathsep)


def measured(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    small = ["--batch=2", "--resolution=32", "--rounds=1", "--seconds=0"]
    assert command_line.run(benchmark.main, [*arguments, *small]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_rates_are_compared_with_each_other() -> None:
    slow = Contender("slow", f"{HERE}:steady", {"rate": 10.0}, {"stage": "all"})
    fast = Contender("fast", f"{HERE}:steady", {"rate": 40.0})
    results = contest([slow, fast], SETTING, rounds=3, seconds=0)
    assert [r["images_per_second"] for r in results] == [10, 40]
    assert [r["relative"] for r in results] == [{"fast": 0.25}, {"slow": 4}]
    assert [r.get("stage") for r in results] == ["all", None]
    assert all(r["spread"] == 0 and r["rounds"] == 3 and "numpy" in r["versions"] for r in results)


def test_memory_is_that_of_the_contender_alone() -> None:
    large = Contender("large", f"{HERE}:large")
    small = Contender("small", f"{HERE}:steady", {"rate": 1.0})
    results = contest([large, small], SETTING, rounds=1, seconds=0)
    assert results[0]["peak_memory_mb"] > 400
    assert results[1]["peak_memory_mb"] < 400


def test_a_contender_that_fails_is_left_out_with_its_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    steady = Contender("steady", f"{HERE}:steady", {"rate": 1.0})
    results = contest([Contender("bad", f"{HERE}:broken"), steady], SETTING, rounds=1, seconds=0)
    assert [r["contender"] for r in results] == ["steady"]
    assert "bad can't run: ValueError: no b0 here" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["train", "--peers=jeffnet"], "--peers=jeffnet: expected some of timm, keras, timm.eager"),
        (["stages", "--peers=timm"], "stages compares this project with itself"),
        (["infer", "--profile"], "--profile works with train, not with infer"),
        (["infer", "--batch=0"], "--batch=0: expected at least 1"),
        (["infer", "--variant=b9"], "b9"),
    ],
)
def test_bad_input_is_named(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line.run(benchmark.main, arguments) == 1
    assert reason in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("quick_processes")
def test_inference_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = measured(capsys, "infer")
    assert line["mode"] == "infer"
    assert line["contender"] == "efficientnet"
    assert line["images_per_second"] > 0
    assert line["spread"] == 0
    assert line["peak_memory_mb"] > line["temporary_memory_mb"] > 0
    assert line["threads"] >= 1
    assert {"jax", "flax"} <= set(line["versions"])
    assert (line["batch"], line["resolution"], line["dtype"]) == (2, 32, "float32")


@pytest.mark.slow
def test_the_costliest_operations_are_named_by_their_layers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    (line,) = measured(capsys, "train", "--profile")
    rows = line["costliest"]
    assert len(rows) == 10
    costs = [row["milliseconds"] for row in rows]
    assert costs == sorted(costs, reverse=True)
    assert 0 < sum(row["share"] for row in rows) <= 1
    assert any(row["layer"].startswith("block") for row in rows)
    assert {row["pass"] for row in rows} <= {"forward", "gradient"}


@pytest.mark.slow
@pytest.mark.usefixtures("quick_processes")
def test_stages_are_measured_in_one_run(capsys: pytest.CaptureFixture[str]) -> None:
    lines = {line["stage"]: line for line in measured(capsys, "stages")}
    assert set(lines) == {"infer", "head", "blocks67", "all"}
    assert set(lines["head"]["relative"]) == {"infer", "blocks67", "all"}
    memory = [lines[name]["temporary_memory_mb"] for name in ("head", "blocks67", "all")]
    assert memory == sorted(memory)
    assert memory[0] < memory[1] < memory[2]


@pytest.mark.slow
@pytest.mark.usefixtures("quick_processes")
def test_the_trainer_is_measured_against_its_step(capsys: pytest.CaptureFixture[str]) -> None:
    names = [line["contender"] for line in measured(capsys, "loop")]
    assert names == ["bare step", "loop", "bare evaluation", "evaluation"]


@pytest.mark.slow
def test_a_save_is_timed_against_the_default_interval(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = measured(capsys, "save")
    assert 0 < line["blocking_seconds"] <= line["seconds"]
    assert line["share"] == pytest.approx(line["seconds"] / 300, abs=1e-5)
    assert line["megabytes"] > 40  # B0's parameters and AdamW's two moments of them

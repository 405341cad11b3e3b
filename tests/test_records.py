"""What a run remembers comes back from its files, those of earlier versions too."""

import dataclasses
import json
import pathlib
from typing import Any

import made_up
import pytest
from etils import epath

from efficientnet import records
from efficientnet.errors import UserError
from efficientnet.records import (
    EpochRecord,
    MonitorState,
    NetworkRecord,
    Progress,
    RunSummary,
    StageResult,
)

VALUES = {"top1": 0.5, "top3": 1.0, "top5": 1.0, "loss": 0.69}
# As commit 44e2563 wrote them.
EPOCH = {
    "stage": "head",
    "epoch": 1,
    "step": 5,
    "rate_scale": 0.5,
    "train": {**VALUES, "loss": 0.71},
    "validation": VALUES,
    "chosen": "validation",
}
AVERAGED = {
    **{key: EPOCH[key] for key in EPOCH if key != "chosen"},
    "epoch": 2,
    "step": 10,
    "validation_ema": {**VALUES, "top1": 0.6},
    "chosen": "validation_ema",
    "learning_rate": 0.0005,
}
STAGE = {
    "name": "head",
    "epochs": 2.0,
    "best_epoch": 2,
    "weights": "moving average",
    "steps": 10,
    "seconds": 61.4,
    "images_per_second": 12.34,
    "parameters": {"trainable": 963, "frozen": 63},
    "metrics": {"test": {**VALUES, "f1_macro": 0.5}, "validation": VALUES},
    "selected_on": "photos held out of training",
}
FOUND = {
    **STAGE,
    "range_test": {
        "rates": [1e-6, 0.1],
        "losses": [0.7, 5.5],
        "guessing": 0.69,
        "suggestion": 2e-3,
    },
}
PROGRESS = {
    "stage": 1,
    "step": 3,
    "steps_before": 10,
    "best": AVERAGED,
    "history": [EPOCH, AVERAGED],
    "finished": [STAGE],
    "monitor": {
        "best": 0.1 + 0.2,
        "epochs_without": 1,
        "epochs_at_rate": 1,
        "rate_scale": 0.1,
        "stopped": False,
    },
    "skipped": 2,
    "unreadable": ["7.png"],
    "seconds": 3.5,
    "timed_images": 16,
    "timed_seconds": 2.0,
}
SUMMARY = {
    "status": "finished",
    "stages": [STAGE],
    "history": [EPOCH, AVERAGED],
    "photos": {"train": 40, "validation": 10, "test": 21},
    "classes": 2,
    "devices": "8 x cpu",
    "processes": 1,
    "versions": {"python": "3.11", "jax": "0.10.2"},
}
NETWORK = {
    "class_names": ["cat", "dog"],
    "resolution": 224,
    "padding": "same",
    "bn_epsilon": 0.001,
    "mean": [123.675, 116.28, 103.53],
    "std": [58.395, 57.12, 57.375],
    "data": {"train": {"photos": 40, "digest": "b3cac278"}},
}


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (EpochRecord, EPOCH),
        (EpochRecord, AVERAGED),
        (StageResult, STAGE),
        (StageResult, FOUND),
        (Progress, {**PROGRESS, "range_test": FOUND["range_test"]}),
        (Progress, PROGRESS),
        (Progress, {**PROGRESS, "best": None, "monitor": {**PROGRESS["monitor"], "best": None}}),
        (RunSummary, SUMMARY),
        (RunSummary, {**SUMMARY, "skipped_photos": ["7.png"]}),
        (RunSummary, {**SUMMARY, "provenance": records.to_json(made_up.provenance())}),
        (NetworkRecord, NETWORK),
    ],
)
def test_what_an_earlier_version_wrote_is_read_and_written_alike(
    tmp_path: pathlib.Path, kind: Any, content: dict[str, Any]
) -> None:
    path = epath.Path(tmp_path / "record.json")
    path.write_text(json.dumps(content, indent=2) + "\n")
    before = path.read_text()
    found = records.read(kind, path)
    records.write(path, found)
    assert path.read_text() == before
    assert records.read(kind, path) == found


def test_fields_say_what_the_files_hold() -> None:
    progress = records.from_json(Progress, PROGRESS)
    assert (progress.global_step, progress.images_per_second) == (13, 8.0)
    assert progress.monitor.lr_scale == 0.1
    first, last = progress.history
    assert (first.validated["top1"], last.validated["top1"]) == (0.5, 0.6)
    assert (first.lr_scale, last.validation_ema) == (0.5, AVERAGED["validation_ema"])
    assert not progress.validated
    assert dataclasses.replace(progress, step=0).validated


def test_data_are_unknown_of_a_network_of_long_ago() -> None:
    known = {key: value for key, value in NETWORK.items() if key != "data"}
    assert records.from_json(NetworkRecord, known).data == {}


def test_a_stage_ends_and_the_next_begins_anew() -> None:
    progress = records.from_json(Progress, PROGRESS)
    after = progress.next_stage(progress.finished[0])
    assert (after.stage, after.step, after.global_step) == (2, 0, 13)
    assert (after.monitor, after.skipped, after.seconds) == (MonitorState(), 0, 0.0)
    assert (after.history, len(after.finished)) == (progress.history, 2)
    assert after.unreadable == ("7.png",)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (RunSummary, []),
        (RunSummary, {**SUMMARY, "history": 1}),
        (RunSummary, {**SUMMARY, "stages": [1]}),
        (RunSummary, {**SUMMARY, "classes": "two"}),
        (NetworkRecord, {"class_names": ["cat"]}),
        (NetworkRecord, {**NETWORK, "mean": ["dark"]}),
    ],
)
def test_what_is_no_record_is_named(tmp_path: pathlib.Path, kind: Any, content: Any) -> None:
    path = epath.Path(tmp_path / "record.json")
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"record\.json is damaged \(.*restore a copy"):
        records.read(kind, path)

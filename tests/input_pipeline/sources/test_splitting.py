"""Splits: what they may be called, how missing ones are made, and what stays together."""

import dataclasses
import logging

import numpy as np
import pytest
from etils import epath
from named_files import write

import input_pipeline
from efficientnet.errors import UserError
from input_pipeline import record_writer
from input_pipeline.sources.split import Source, from_encoded
from input_pipeline.sources.splitting import complete, split_of


@pytest.mark.parametrize(
    ("names", "split"),
    [
        (
            "train Train TRAINING train_set train_dir training_set trainset train-images train2017",
            "train",
        ),
        ("seg_train cars_train dataset-train flowers.training my_photos-train", "train"),
        ("val valid Validation validation_set dev dev-set eval VALID2 seg_val", "validation"),
        ("test testing Test_Set test_images cars_test", "test"),
        ("trains train_station testimony bullettrain value device latest retrain pred", ""),
    ],
)
def test_names_of_splits(names, split):
    for name in names.split():
        assert split_of(name) == split, name


def source(*splits, photos=20):
    labels = [number % 2 for number in range(photos)]
    opened = {
        split: from_encoded([b"x"] * photos, [f"{split}/{n}" for n in range(photos)], labels)
        for split in splits
    }
    return Source("pets", ("cat", "dog"), opened)


@pytest.mark.parametrize(
    ("found", "keep", "made", "said"),
    [
        (["train", "test"], False, {"train": 20, "test": 20}, ""),
        (["train"], False, {"train": 16, "test": 4}, "of 20 photos to train on, 4 are drawn"),
        (["train"], True, {"train": 16, "test": 4}, "of 20 photos to train on, 4 are drawn"),
        (["train", "validation"], False, {"train": 20, "test": 20}, "its validation split is used"),
        (
            ["train", "validation"],
            True,
            {"train": 16, "validation": 20, "test": 4},
            "of 20 photos to train on, 4 are drawn",
        ),
    ],
)
def test_a_missing_test_split_is_made_and_said(found, keep, made, said, caplog):
    caplog.set_level(logging.INFO)
    completed = complete(source(*found), keep_validation=keep)
    assert {name: len(split) for name, split in completed.splits.items()} == made
    assert len(caplog.records) == bool(said)
    assert said in caplog.text


def test_data_without_a_training_split_are_refused():
    with pytest.raises(UserError, match="'pets' have no split to train on, only test"):
        complete(source("test"))


def test_splits_from_python_may_have_any_name():
    assert set(complete(source("Training", "val", "testing")).splits) == {
        "train",
        "validation",
        "test",
    }
    with pytest.raises(UserError, match=r"several splits of one kind \(train, val, valid\)"):
        complete(source("train", "val", "valid"))


def manifest(folder, rows, columns="path,label,group"):
    write(folder, *(row.split(",")[0] for row in rows))
    (folder / "manifest.csv").write_text("\n".join([columns, *rows]))
    return input_pipeline.load_source("manifest", str(folder))


def test_groups_go_with_their_photos(tmp_path):
    rows = [f"{n}.png,{'ab'[n % 2]},{'' if n == 3 else f'patient {n // 4}'}" for n in range(20)]
    found = manifest(tmp_path, rows).splits
    for split in found.values():
        for name, group in zip(split.names, split.groups, strict=True):
            number = int(name.removesuffix(".png"))
            assert group == ("3.png" if number == 3 else f"patient {number // 4}")
    train = found["train"]
    assert train.take(np.array([2])).groups == [train.groups[2]]
    ungrouped = manifest(tmp_path, [row.rpartition(",")[0] for row in rows], "path,label")
    assert not ungrouped.splits["train"].groups
    assert not {*train.groups} & {*found["test"].groups}
    # A run made before groups were known goes on with them.
    grouped = dataclasses.replace(train, groups=["all"] * len(train))
    assert grouped.fingerprint() == dataclasses.replace(train, groups=()).fingerprint()


def test_records_keep_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(record_writer, "_shrink", lambda encoded, shorter_side: encoded)
    rows = [f"{n}.png,{'ab'[n % 2]},patient {n % 3}" for n in range(10)]
    found = manifest(tmp_path, rows)
    for _ in range(2):  # the second call finds all written
        record_writer.write(found, epath.Path(tmp_path / "records"))
        records = input_pipeline.load_source("records", str(tmp_path / "records"))
        for name, split in found.splits.items():
            assert records.splits[name].groups == split.groups


def test_parquet_has_groups(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="needs pip install '.[parquet]'")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {"image": [b"1", b"2"], "label": ["a", "b"], "group": [7, None]}
    for split in ("train", "test"):
        parquet.write_table(pyarrow.table(columns), tmp_path / f"{split}.parquet")
    splits = input_pipeline.load_source("parquet", str(tmp_path)).splits
    assert splits["train"].groups == ["7", "train/1"]

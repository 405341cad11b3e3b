"""Which folders are splits, which are classes, and which are neither."""

import logging
import re

import pytest
from named_files import write

import input_pipeline
from efficientnet.errors import UserError


def fill(folder, *names, classes=("cat", "dog"), photos=5):
    """Writes class folders into each of the named folders."""
    write(
        folder,
        *(f"{name}/{kind}/{n}.jpg" for name in names for kind in classes for n in range(photos)),
    )


def load(folder):
    return input_pipeline.load_source("folders", str(folder))


@pytest.mark.parametrize(
    "names",
    [
        ["train", "val", "test"],
        ["Training", "Validation", "Testing"],
        ["training_set", "validation_set", "test_set"],
        ["trainset", "devset", "testset"],
        ["TRAIN", "VALID", "TEST"],
        ["seg_train/seg_train", "seg_dev/seg_dev", "seg_test/seg_test"],
        ["cars_train", "cars_eval", "cars_test/test"],
        ["dataset-train", "dataset-valid", "dataset-test"],
        ["train2017", "val2017", "test2017"],
    ],
)
def test_folders_of_splits_are_recognized(tmp_path, names):
    fill(tmp_path, *names)
    source = load(tmp_path)
    assert source.class_names == ("cat", "dog")
    assert set(source.splits) == {"train", "validation", "test"}
    for split, name in zip(("train", "validation", "test"), names, strict=True):
        assert source.splits[split].names[0] == f"{name}/cat/0.jpg"


@pytest.mark.parametrize(
    "names",
    [
        ["car", "bus", "train"],
        ["rose", "test", "tulip"],
        ["bullet_train", "tram", "testing"],
        ["dev", "prod"],
    ],
)
def test_classes_may_be_called_as_splits_are(tmp_path, names):
    write(tmp_path, *(f"{name}/{n}.jpg" for name in names for n in range(5)))
    source = load(tmp_path)
    assert source.class_names == tuple(sorted(names))
    assert set(source.splits) == {"train", "test"}


def test_classes_or_splits_must_be_clear(tmp_path):
    write(tmp_path, "car/1.jpg", "bus/2.jpg", "train/steam/1.jpg", "train/electric/2.jpg")
    message = "train looks like the training split, but bus, car holds photos too: move what is not"
    with pytest.raises(UserError, match=message):
        load(tmp_path)
    fill(tmp_path, "test", classes=("steam",))
    assert load(tmp_path).class_names == ("electric", "steam")


def test_folders_of_no_split_are_named(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    fill(tmp_path, "seg_train/seg_train", "seg_test/seg_test")
    write(tmp_path, "seg_pred/seg_pred/1.jpg", "annotations/1.xml")
    assert set(load(tmp_path).splits) == {"train", "test"}
    assert "not used, as their names are of no split: seg_pred" in caplog.text


@pytest.mark.parametrize("test", ["test/1.jpg", "test/test/1.jpg"])
def test_test_photos_without_classes_are_not_used(tmp_path, test, caplog):
    fill(tmp_path, "train")
    write(tmp_path, test, "samples/1.jpg")
    splits = load(tmp_path).splits
    assert {name: len(split) for name, split in splits.items()} == {"train": 8, "test": 2}
    assert "test is not used: no class folders in it" in caplog.text


def test_photos_in_split_folders_without_classes_are_refused(tmp_path):
    write(tmp_path, "Training/1.jpg", "Testing/2.jpg")
    with pytest.raises(
        UserError, match=r"no class folder in .*Training, which holds 1 photos: exp"
    ):
        load(tmp_path)


def test_splits_without_one_to_train_on_are_refused(tmp_path):
    fill(tmp_path, "valid", "test")
    with pytest.raises(
        UserError, match="no folder to train on, only test, valid: name one 'train'"
    ):
        load(tmp_path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["photos/cat/1.jpg", "photos/dog/1.jpg"],
            "photos, with the folders cat, dog: .*, give .*/p",
        ),
        (["photos/train/cat/1.jpg"], "one class folder, photos, with the folders train"),
        (["cat/1.jpg", "cat/2.jpg"], "one class folder, cat, with 2 photos: .*, add another class"),
        (["train/cat/1.jpg", "test/cat/1.jpg"], "train has one class folder, cat, with 1 photos"),
        (["cat/1.jpg", "@eaDir/1.jpg", ".git/1.jpg"], "one class folder, cat"),
        (
            ["1.jpg", "2.jpg"],
            "no class folder in .*, which holds 2 photos: expected one folder per",
        ),
    ],
)
def test_one_class_is_refused_with_what_was_seen(tmp_path, names, message):
    write(tmp_path, *names)
    with pytest.raises(UserError, match=re.compile(message)):
        load(tmp_path)


def test_classes_of_the_same_folders_are_said(tmp_path, caplog):
    fill(tmp_path, "batch1", "batch2")
    assert load(tmp_path).class_names == ("batch1", "batch2")
    assert "each of which holds cat, dog: if these are the classes, bring them up" in caplog.text


def test_class_folders_that_look_the_same_are_refused(tmp_path):
    fill(tmp_path, "train", classes=("caf\u00e9", "cafe\u0301"))
    with pytest.raises(UserError, match=r"has the class .* and .*, which look the same: give each"):
        load(tmp_path)


def test_one_class_is_refused_in_other_sources(tmp_path):
    write(tmp_path, "1.jpg", "2.jpg")
    (tmp_path / "manifest.csv").write_text("path,label\n1.jpg,a\n2.jpg,a\n")
    with pytest.raises(UserError, match="'manifest' have one class, 'a': expected two classes or"):
        input_pipeline.load_source("manifest", str(tmp_path))

"""Which photos are trained, validated and tested on, of what a data set has."""

import logging

import pytest

from efficientnet.config import DataConfig, RunConfig, StageConfig
from efficientnet.errors import UserError
from efficientnet.training import setup
from input_pipeline.sources import SOURCES
from input_pipeline.sources.split import Source, from_encoded


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch):
    """Loads data whose photos are named by the split that they come from."""

    def load(validation_split: str = "auto", *splits: str, labels: str = "ababababab"):
        numbers = ["abc".index(label) for label in labels]
        opened = {
            split: from_encoded([b""] * len(labels), [f"{split}/{n}" for n in range(10)], numbers)
            for split in splits
        }
        monkeypatch.setitem(SOURCES, "mine", lambda: Source("mine", ("a", "b", "c"), opened))
        stage = StageConfig("head", train="predictions", epochs=1)
        data = DataConfig(source="mine", validation_split=validation_split, validation_fraction=0.2)
        return setup.load_data(RunConfig(stages=(stage,), data=data))

    return load


def origin(split):
    return {name.split("/")[0] for name in split.names}, len(split)


ALL = ("train", "validation", "test")


@pytest.mark.parametrize(
    ("chosen", "splits", "train", "validation", "test"),
    [
        ("auto", ALL, ("train", 10), ("validation", 10), ("test", 10)),
        ("dev", ALL, ("train", 10), ("validation", 10), ("test", 10)),
        ("Valid", ALL, ("train", 10), ("validation", 10), ("test", 10)),
        ("test", ALL, ("train", 10), ("test", 10), ("test", 10)),
        ("", ALL, ("train", 8), ("train", 2), ("test", 10)),
        ("auto", ("train", "test"), ("train", 8), ("train", 2), ("test", 10)),
        ("auto", ("train", "validation"), ("train", 8), ("train", 2), ("validation", 10)),
        ("val", ("train", "validation"), ("train", 8), ("validation", 10), ("train", 2)),
        ("auto", ("train",), ("train", 6), ("train", 2), ("train", 2)),
    ],
)
def test_missing_splits_are_made_from_what_is_there(load, chosen, splits, train, validation, test):
    data = load(chosen, *splits)
    expected = [({name}, size) for name, size in (train, validation, test)]
    assert [origin(split) for split in (data.train, data.validation, data.test)] == expected
    names = [*data.train.names, *(data.validation.names if chosen != "test" else ())]
    assert len({*names, *data.test.names}) == len(names) + len(data.test)


@pytest.mark.parametrize(
    ("chosen", "selected_on"),
    [("auto", "validation"), ("val", "validation"), ("", setup.HELD_OUT), ("test", "test")],
)
def test_what_is_validated_on_is_said(load, chosen, selected_on, caplog):
    caplog.set_level(logging.INFO)
    assert load(chosen, *ALL).selected_on == selected_on
    unused = "the split validation is not used (10 photos)" in caplog.text
    assert unused == (selected_on != "validation")
    assert ("chosen on the test split" in caplog.text) == (chosen == "test")


def test_a_split_that_is_not_there_or_trained_on_is_refused(load):
    for chosen in ("dev", "Training", "extra"):
        message = (
            f"validation_split is '{chosen}': expected a split that is not trained on, of train"
        )
        with pytest.raises(UserError, match=message):
            load(chosen, "train", "test")


def test_photos_of_one_class_are_refused(load):
    with pytest.raises(UserError, match="all 8 photos to train on are of the class 'b'"):
        load("auto", "train", "test", labels="b" * 10)


def test_uneven_classes_show_in_one_line(load):
    data = load("val", *ALL, labels="abbbcccccc")
    assert setup._class_sizes(data) == (
        "the smallest class has 1 photos for training ('a'), the median 3, the largest 6 ('c')"
    )

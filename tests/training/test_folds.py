"""Groups, folds and corrections, from the config to the photos of a run."""

import pathlib
from collections.abc import Callable
from typing import Any

import pytest
import tiny as tiny_run
from ml_collections import ConfigDict

from configs import common
from efficientnet.training import setup
from efficientnet.training.broken_photos import identity
from efficientnet.training.setup import Data
from input_pipeline.sources import SOURCES
from input_pipeline.sources.split import Source

NAMES = [f"{number}.png" for number in range(50)]


@pytest.fixture
def load(tiny: Callable[..., ConfigDict]) -> Callable[..., Data]:
    def load(**fields: Any) -> Data:
        config = tiny(common.stage("all", train="all", epochs=1))
        config.data.update(fields)
        return setup.load_data(common.parse(config))

    return load


def with_splits(monkeypatch: pytest.MonkeyPatch, **counts: int) -> None:
    """Makes the tiny source of so many photos of each split."""
    splits = {name: tiny_run.colored_photos(n, seed=n) for name, n in counts.items()}
    for name, split in splits.items():
        split.names[:] = [f"{name}/{photo}" for photo in split.names]
    source = Source("tiny", ("red", "green", "blue"), splits)
    monkeypatch.setitem(SOURCES, "tiny", lambda: source)


def test_folds_divide_what_is_not_for_testing(load: Callable[..., Data]) -> None:
    whole = load()
    folds = [load(folds=5, fold=number) for number in range(5)]
    assert sorted(name for fold in folds for name in fold.validation.names) == sorted(NAMES)
    for fold in folds:
        assert sorted([*fold.train.names, *fold.validation.names]) == sorted(NAMES)
        assert identity(fold.splits)["test"] == identity(whole.splits)["test"]
        assert fold.selected_on == setup.HELD_OUT


def test_a_validation_split_is_divided_with_the_training_photos(
    load: Callable[..., Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_splits(monkeypatch, train=30, validation=12, test=9)
    photos = load(folds=3, fold=2)
    assert len(photos.train) == 28
    assert len(photos.validation) == 14
    assert any(name.startswith("validation/") for name in photos.train.names)
    for split in (photos.train, photos.validation):
        pixels = split.read(len(split) - 1)
        source = SOURCES["tiny"]().splits[split.names[-1].split("/")[0]]
        assert pixels == source.read(source.names.index(split.names[-1]))


def test_groups_by_a_pattern_stay_together_in_every_drawn_split(
    load: Callable[..., Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_splits(monkeypatch, train=90)  # the test split is drawn too
    photos = load(group=r"/(\d)", validation_fraction=0.3)
    assert load(group="").train.groups == ()
    first = [
        {name.split("/")[1][0] for name in split.names}
        for split in (photos.train, photos.validation, photos.test)
    ]
    assert sum(map(len, first)) == 10
    assert all(first)


def test_corrected_labels_are_trained_on(load: Callable[..., Data], tmp_path: pathlib.Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("name,label\n3.png,blue\n4.png,\n")
    photos = load(corrections=str(table), folds=5, fold=1)
    labels = {
        name: label
        for split in (photos.train, photos.validation)
        for name, label in zip(split.names, split.labels, strict=True)
    }
    assert labels["3.png"] == 2
    assert labels.keys() == {*NAMES} - {"4.png"}

"""Groups that stay together, and folds."""

import collections
import dataclasses

import numpy as np
import pytest

import input_pipeline
from efficientnet.errors import UserError
from input_pipeline.sources import groups
from input_pipeline.sources.split import Source, Split, from_encoded
from input_pipeline.sources.splitting import complete


def patients(count: int = 60, seed: int = 0) -> Split:
    """Photos of patients: one to nine of each, in one or more of four uneven classes."""
    rng = np.random.default_rng(seed)
    names, labels, of = [], [], []
    for patient in range(count):
        usual = rng.choice(4, p=(0.5, 0.25, 0.15, 0.1))
        for photo in range(rng.integers(1, 10)):
            labels.append(int(usual if rng.random() < 0.8 else rng.integers(4)))
            names.append(f"class{labels[-1]}/patient{patient}_{photo}.jpg")
            of.append(f"patient{patient}")
    photos = from_encoded([name.encode() for name in names], names, labels)
    return dataclasses.replace(photos, groups=of)


def sides(*splits: Split) -> list[set[str]]:
    return [set(split.groups) for split in splits]


def shares(split: Split) -> np.ndarray:
    return np.bincount(split.labels, minlength=4) / len(split)


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5])
def test_held_out_groups_are_whole_and_the_classes_even(fraction: float) -> None:
    photos = patients()
    train, validation = input_pipeline.hold_out(photos, fraction, seed=1)
    assert not set.intersection(*sides(train, validation))
    assert sorted([*train.names, *validation.names]) == sorted(photos.names)
    assert abs(len(validation) - fraction * len(photos)) <= 9
    assert abs(shares(train) - shares(validation)).max() < 0.1


def test_classes_of_few_groups_are_held_out_too() -> None:
    names = [f"{photo}.jpg" for photo in range(400)]
    labels = [photo // 8 for photo in range(400)]
    photos = from_encoded([b""] * 400, names, labels)
    photos = dataclasses.replace(photos, groups=[f"car {photo // 2}" for photo in range(400)])
    train, validation = input_pipeline.hold_out(photos, 0.1)
    assert set(train.labels) == set(range(50))
    assert 24 <= len(validation) <= 48
    assert np.bincount(validation.labels).max() == 2


def test_a_drawn_test_split_keeps_groups_together() -> None:
    source = complete(Source("made", tuple("abcd"), {"train": patients()}))
    train, test = (source.splits[name] for name in ("train", "test"))
    assert not set.intersection(*sides(train, test))
    assert abs(len(test) - 0.2 * (len(train) + len(test))) <= 9


@pytest.mark.parametrize("ungrouped", [False, True])
def test_every_photo_is_in_one_fold_and_the_folds_are_alike(ungrouped: bool) -> None:
    photos = dataclasses.replace(patients(), **({"groups": ()} if ungrouped else {}))
    folds = [groups.fold(photos, 5, number, seed=3) for number in range(5)]
    validated = [name for _, validation in folds for name in validation.names]
    assert sorted(validated) == sorted(photos.names)
    for train, validation in folds:
        assert sorted([*train.names, *validation.names]) == sorted(photos.names)
        assert not set.intersection(*sides(train, validation)) or ungrouped
        assert abs(len(validation) - len(photos) / 5) <= (2 if ungrouped else 9)
        assert abs(shares(validation) - shares(photos)).max() < (0.02 if ungrouped else 0.12)


def test_the_draw_depends_on_the_seed_and_not_on_the_order_of_files() -> None:
    photos = patients()
    backwards = photos.take(np.arange(len(photos))[::-1])

    def chosen(split: Split, seed: int) -> set[str]:
        return set(groups.fold(split, 5, 0, seed)[1].groups)

    assert chosen(photos, 0) == chosen(backwards, 0)
    assert len({frozenset(chosen(photos, seed)) for seed in range(4)}) == 4


def test_photos_without_a_group_are_divided_one_by_one() -> None:
    photos = dataclasses.replace(patients(), groups=[""] * len(patients()))
    alone = dataclasses.replace(photos, groups=())
    for number in range(3):
        assert groups.fold(photos, 3, number)[1].names == groups.fold(alone, 3, number)[1].names


def test_too_few_groups_are_refused() -> None:
    photos = patients(count=3)
    with pytest.raises(UserError, match=r"folds is 5: the data have only 3 groups"):
        groups.fold(photos, 5, 0)
    one = dataclasses.replace(photos, groups=["all"] * len(photos))
    with pytest.raises(UserError, match=r"1 groups leaves one side empty"):
        input_pipeline.hold_out(one, 0.2)


def test_a_pattern_finds_the_group_in_each_name() -> None:
    photos = dataclasses.replace(patients(), groups=())
    source = groups.grouped(Source("made", tuple("abcd"), {"train": photos}), r"(patient\d+)_")
    assert list(source.splits["train"].groups) == list(patients().groups)
    for lacking in (r"(patient1\d)_", r"patient\d+(x?)"):
        with pytest.raises(UserError, match=r"names have no such group, the first is 'class"):
            groups.grouped(source, lacking)
    for wrong in ("patient", r"(patient)(\d+)", r"(patient"):
        with pytest.raises(UserError, match="expected a regular expression with one group in"):
            groups.grouped(source, wrong)


def test_published_splits_that_share_groups_are_told(caplog: pytest.LogCaptureFixture) -> None:
    photos = patients(count=10)
    apart = {"train": photos.take(np.arange(20)), "test": photos.take(np.arange(20, len(photos)))}
    source = groups.grouped(Source("made", tuple("abcd"), apart), "")
    both = set.intersection(*sides(*source.splits.values()))
    assert len(both) == 1
    assert f"1 of 10 groups, such as {both.pop()!r}, have photos in several" in caplog.text
    caplog.clear()
    kept, test = groups.fold(photos, 3, 0)
    groups.grouped(Source("made", tuple("abcd"), {"train": kept, "test": test}), "")
    assert not caplog.text


def test_joined_splits_read_as_one() -> None:
    photos = patients(count=12)
    parts = [photos.take(np.arange(begin, begin + 7)) for begin in range(0, 21, 7)]
    joined = input_pipeline.joined(parts)
    assert list(joined.names) == list(photos.names[:21])
    assert [joined.read(index) for index in range(21)] == [photos.read(i) for i in range(21)]
    assert joined.fingerprint() == photos.take(np.arange(21)).fingerprint()
    assert collections.Counter(joined.groups) == collections.Counter(photos.groups[:21])

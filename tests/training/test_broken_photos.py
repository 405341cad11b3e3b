"""A run does without what can't be read, in any split, also when that is mended or removed."""

import dataclasses
import pathlib
from collections.abc import Callable

import numpy as np
import pytest
from damaged import BROKEN, HOLLOW, PNG
from etils import epath
from ml_collections import ConfigDict

from benchmarks import saved_runs
from configs import common
from efficientnet import records
from efficientnet.config import DataConfig, RunConfig
from efficientnet.errors import UserError
from efficientnet.records import PhotosRecord
from efficientnet.reporting import runs
from efficientnet.training import broken_photos, setup
from efficientnet.training.run import run
from input_pipeline.sources import SOURCES
from input_pipeline.sources.split import Split, from_encoded

Recipe = Callable[..., ConfigDict]
SPLITS = ("train", "validation", "test")


@pytest.fixture
def photos(tiny: Recipe, tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder of three classes, which lacks the splits; 81 photos in three colors."""
    folder = tmp_path / "photos"
    for split in SOURCES["tiny"]().splits.values():
        for index, (name, label) in enumerate(zip(split.names, split.labels, strict=True)):
            path = folder / ["red", "green", "blue"][label] / f"{len(split)} {name}"
            path.parent.mkdir(parents=True, exist_ok=True)
            photo = split.read(index)
            assert isinstance(photo, bytes)
            path.write_bytes(photo)
    return folder


@pytest.fixture
def recipe(tiny: Recipe, photos: pathlib.Path) -> Callable[..., RunConfig]:
    def make(epochs: int = 1, broken_limit: int = 0, **changes: object) -> RunConfig:
        config = tiny(common.stage("head", train="predictions", epochs=epochs, learning_rate=1e-2))
        config.data.source, config.data.directory = "folders", str(photos)
        config.data.broken_limit = broken_limit
        config.update_from_flattened_dict(changes)
        return common.parse(config)

    return make


def some(config: RunConfig, split: str, count: int = 1) -> list[str]:
    return list(setup.load_data(config).splits[split].names[3 : 3 + count])


@pytest.mark.parametrize("kind", BROKEN)
def test_every_kind_of_damage_is_found_in_every_split_before_the_first_step(
    recipe: Callable[..., RunConfig], tmp_path: pathlib.Path, kind: str
) -> None:
    config = recipe()
    data = setup.load_data(config)
    names = {split: data.splits[split].names[3] for split in SPLITS}
    for name in names.values():
        (tmp_path / "photos" / name).write_bytes(BROKEN[kind])
    data = setup.load_data(config)
    folder = epath.Path(tmp_path)

    def choose(broken_limit: int) -> broken_photos.Photos:
        limited = dataclasses.replace(config.data, broken_limit=broken_limit)
        return broken_photos.choose(limited, data.class_names, data.splits, folder)

    with pytest.raises(UserError, match=r"is not a readable photo .*broken_limit=3") as error:
        choose(2)
    assert str(error.value).startswith(names["train"])
    rows = (tmp_path / broken_photos.LIST).read_text().splitlines()
    assert [row.split("\t")[:2] for row in rows] == [[names[split], split] for split in SPLITS]
    chosen = choose(3)
    assert chosen.left_out == tuple(names.values())
    for split, name in names.items():
        expected = [other for other in data.splits[split].names if other != name]
        assert list(chosen.splits[split].names) == expected
    assert chosen.identity == broken_photos.identity(data.splits)


def test_all_that_is_broken_is_listed_at_once(
    recipe: Callable[..., RunConfig], tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = recipe(broken_limit=24)
    names = [*some(config, "train", 21), *some(config, "validation", 2), *some(config, "test", 2)]
    for name in names:
        (tmp_path / "photos" / name).write_bytes(b"no photo")
    with pytest.raises(UserError) as error:
        run(config, str(tmp_path / "run"))
    assert str(error.value) == (
        f"{names[0]} is not a readable photo (of no format that can be read), nor are 24 "
        f"others (all are listed in {tmp_path}/run/broken_photos.txt): mend or remove them, or set "
        "config.data.broken_limit=25 to leave them out"
    )
    shown = [record.message for record in caplog.records if "can't be read" in record.message]
    assert len(shown) == 21
    assert shown[-1] == "... and 5 more photos can't be read"
    listed = (tmp_path / "run" / "broken_photos.txt").read_text().splitlines()
    assert [line.split("\t")[0] for line in listed] == names
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_split_of_which_nothing_is_left_is_refused(
    recipe: Callable[..., RunConfig], tmp_path: pathlib.Path
) -> None:
    config = recipe(broken_limit=99)
    for name in setup.load_data(config).test.names:
        (tmp_path / "photos" / name).write_bytes(b"no photo")
    with pytest.raises(UserError, match="none of the 14 photos of test can be read"):
        setup.prepare(config)


def test_the_list_goes_when_all_is_mended(
    recipe: Callable[..., RunConfig], tmp_path: pathlib.Path
) -> None:
    config = recipe()
    (name,) = some(config, "train")
    path, folder = tmp_path / "photos" / name, epath.Path(tmp_path)
    before = path.read_bytes()
    path.write_bytes(b"")
    for _ in range(2):
        with pytest.raises(UserError, match="is not a readable photo"):
            broken_photos.choose(config.data, (), setup.load_data(config).splits, folder)
    assert (tmp_path / broken_photos.LIST).exists()
    path.write_bytes(before)
    broken_photos.choose(config.data, (), setup.load_data(config).splits, folder)
    assert not (tmp_path / broken_photos.LIST).exists()


def names_of(splits: dict[str, Split]) -> dict[str, list[str]]:
    return {name: list(split.names) for name, split in splits.items()}


@pytest.fixture
def begun(recipe: Callable[..., RunConfig], tmp_path: pathlib.Path) -> Callable[..., list[str]]:
    """Returns a function that begins a run without three photos, one of each split."""

    def begin(**changes: object) -> list[str]:
        config = recipe(broken_limit=3, **changes)
        names = [name for split in SPLITS for name in some(config, split)]
        for name in names:
            (tmp_path / "photos" / name).write_bytes(b"no photo")
        run(config, str(tmp_path / "run"))
        return names

    return begin


def test_a_run_does_without_what_is_broken_in_any_split(
    recipe: Callable[..., RunConfig], begun: Callable[..., list[str]], tmp_path: pathlib.Path
) -> None:
    whole = setup.load_data(recipe()).splits
    names = begun()
    finished = runs.load(str(tmp_path / "run"))
    assert finished.summary.skipped_photos == tuple(sorted(names))
    sizes = dataclasses.asdict(finished.summary.photos)
    assert sizes == {name: len(split) - 1 for name, split in whole.items()}
    kept = finished.predictions("head").names
    assert list(kept) == [name for name in whole["test"].names if name not in names]
    assert (tmp_path / "run" / "report" / "index.html").exists()


@pytest.mark.slow
@pytest.mark.parametrize("cache", ["", "memory"])
@pytest.mark.parametrize(  # photos of training, validation and test, or None
    "changed", [(None, PNG, b""), (PNG, b"", None)], ids=["a", "b"]
)
def test_a_begun_run_ends_bit_identical_whatever_becomes_of_broken_photos(
    recipe: Callable[..., RunConfig],
    begun: Callable[..., list[str]],
    tmp_path: pathlib.Path,
    changed: tuple[bytes | None, ...],
    cache: str,
) -> None:
    changes = {"data.cache": cache, "data.cache_resolution": 36, "normalization": "training"}
    names = begun(**changes)
    found = []
    for folder in ("undisturbed", "disturbed"):
        config = recipe(broken_limit=3, **changes)
        if folder == "undisturbed":
            run(config, str(tmp_path / folder))
        else:
            (tmp_path / "run").rename(tmp_path / folder)
            for name, photo in zip(names, changed, strict=True):
                path = tmp_path / "photos" / name
                path.unlink() if photo is None else path.write_bytes(photo)
        summary = run(recipe(epochs=3, broken_limit=3, **changes), str(tmp_path / folder))
        arrays = saved_runs.read_arrays(epath.Path(tmp_path / folder / "checkpoints"))
        kept = runs.load(str(tmp_path / folder)).predictions("head")
        found.append((summary.history, summary.skipped_photos, arrays, kept))
    (history, skipped, arrays, kept), other = found
    assert (history, skipped) == other[:2]
    assert arrays.keys() == other[2].keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, other[2][name], err_msg=name)
    assert kept.names == other[3].names
    np.testing.assert_array_equal(kept.probabilities, other[3].probabilities)


@pytest.fixture
def record(recipe: Callable[..., RunConfig], tmp_path: pathlib.Path) -> PhotosRecord:
    """That of a run that began without three photos of the folder, one of each split."""
    config = recipe(broken_limit=3)
    for split in SPLITS:
        (name,) = some(config, split)
        (tmp_path / "photos" / name).write_bytes(b"no photo")
    record = setup.prepare(config).photos
    assert record is not None
    records.write(epath.Path(tmp_path) / broken_photos.RECORD, record)
    return record


def content(split: Split) -> list[bytes | np.ndarray]:
    return [split.read(index) for index in range(len(split))]


def test_the_others_keep_their_split_when_a_draw_would_move_them(
    recipe: Callable[..., RunConfig], record: PhotosRecord, tmp_path: pathlib.Path
) -> None:
    before = setup.load_data(recipe()).splits
    read = {
        name: content(split) for name, split in broken_photos.without_broken(before, record).items()
    }
    (tmp_path / "photos" / record.skipped[2]).unlink()
    (tmp_path / "photos" / record.skipped[0]).unlink()
    now = setup.load_data(recipe()).splits
    moved = [set(now[name].names) - set(before[name].names) for name in SPLITS]
    assert any(moved)  # or this tests nothing
    restored, kept = broken_photos.of_run(epath.Path(tmp_path), now)
    assert kept == record
    assert names_of(dict(restored)) == names_of(before)
    assert broken_photos.identity(restored) == broken_photos.identity(before)
    rest = broken_photos.without_broken(restored, record)
    assert {name: content(split) for name, split in rest.items()} == read


@pytest.mark.parametrize("change", ["another is removed", "one is new", "one is in another class"])
def test_other_changes_of_the_data_are_still_refused(
    recipe: Callable[..., RunConfig], record: PhotosRecord, tmp_path: pathlib.Path, change: str
) -> None:
    (name,) = set(some(recipe(), "train", 2)) - set(record.skipped)
    path = tmp_path / "photos" / name
    if change == "another is removed":
        path.unlink()
    elif change == "one is new":
        path.with_name("new.png").write_bytes(path.read_bytes())
    else:
        path.rename(tmp_path / "photos" / ("blue" if "red" in name else "red") / "moved.png")
    now = setup.load_data(recipe()).splits
    assert broken_photos.of_run(epath.Path(tmp_path), now) == (now, None)


def test_names_that_occur_twice_are_never_confused(tmp_path: pathlib.Path) -> None:
    def splits(**held: str) -> dict[str, Split]:
        return {
            split: from_encoded(
                [f"{split} {name}".encode() for name in names], names, [0] * len(names)
            )
            for split, names in held.items()
        }

    folder = epath.Path(tmp_path)
    data = DataConfig(source="twice", broken_limit=9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            broken_photos,
            "find_broken",
            lambda *_: [broken_photos.Broken("train", 1, "b", "damaged")],
        )
        begun = broken_photos.choose(data, ("x",), splits(train="abc", test="abd"), folder)
    assert begun.record is not None
    records.write(folder / broken_photos.RECORD, begun.record)
    # The broken one was removed: the test's keeps its place.
    restored, record = broken_photos.of_run(folder, splits(train="ac", test="abd"))
    assert record is not None
    assert content(restored["test"]) == [b"test a", b"test b", b"test d"]
    # The test's was removed, which was fine; the other must not take its place.
    now = splits(train="abc", test="ad")
    assert broken_photos.of_run(folder, now) == (now, None)


def test_a_run_of_an_earlier_version_goes_on_as_it_did(
    recipe: Callable[..., RunConfig], tmp_path: pathlib.Path
) -> None:
    (name,) = some(recipe(), "train")
    (tmp_path / "photos" / name).write_bytes(b"no photo")
    (tmp_path / "run" / "checkpoints" / "latest" / "5").mkdir(parents=True)
    prepared = setup.prepare(recipe(broken_limit=1), epath.Path(tmp_path / "run"))
    assert prepared.photos is None
    assert name in prepared.data.train.names
    assert prepared.batches.skipped == []


@pytest.mark.parametrize("copies", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_what_only_decoding_finds_is_skipped_in_every_split(
    recipe: Callable[..., RunConfig], tmp_path: pathlib.Path, copies: int
) -> None:
    config = recipe(broken_limit=3)
    stage = dataclasses.replace(config.stages[0], cached_copies=copies)
    config = dataclasses.replace(config, stages=(stage,))
    names = [name for split in SPLITS for name in some(config, split)]
    for name in names:
        (tmp_path / "photos" / name).write_bytes(HOLLOW)
    folder = epath.Path(tmp_path / "run")
    summary = run(config, str(folder))
    assert summary.skipped_photos == tuple(sorted(names))
    before = setup.load_data(config).splits
    kept = runs.load(str(folder)).predictions("head").names
    assert list(kept) == [name for name in before["test"].names if name not in names]
    count = len(before["validation"]) - 1
    right = count * summary.history[0].validation["top1"]
    assert right == pytest.approx(round(right), abs=1e-4)

    # They may now go as well, or come back: the run does without them.
    (tmp_path / "photos" / names[0]).unlink()
    (tmp_path / "photos" / names[1]).write_bytes(PNG)
    restored, record = broken_photos.of_run(folder, setup.load_data(config).splits)
    assert record is not None
    assert sorted(record.skipped) == sorted(names)
    assert broken_photos.identity(restored) == broken_photos.identity(before)
    for split, name in zip(SPLITS, names, strict=True):
        with pytest.raises(OSError, match="does without it"):
            restored[split].read(list(restored[split].names).index(name))


def test_a_photo_that_ends_a_run_may_be_removed_as_told(
    recipe: Callable[..., RunConfig], tmp_path: pathlib.Path
) -> None:
    test, train = some(recipe(), "test")[0], some(recipe(), "train")[0]
    (tmp_path / "photos" / test).write_bytes(HOLLOW)
    for _ in range(2):  # in the test, after training; again as long as it is there
        with pytest.raises(UserError, match=f"{test} is not a readable photo: replace or remove"):
            run(recipe(), str(tmp_path / "run"))
    (tmp_path / "photos" / test).unlink()
    (tmp_path / "photos" / train).write_bytes(b"damaged since")
    for _ in range(2):
        with pytest.raises(UserError, match=f"{train} is not a readable photo .*: mend or remove"):
            run(recipe(), str(tmp_path / "run"))
    (tmp_path / "photos" / train).unlink()
    summary = run(recipe(), str(tmp_path / "run"))
    kept = runs.load(str(tmp_path / "run")).predictions("head").names
    assert len(kept) == summary.photos.test - 1
    assert test not in kept


def test_what_decoding_for_a_cache_finds_is_left_out_as_well(
    recipe: Callable[..., RunConfig], tmp_path: pathlib.Path
) -> None:
    one, two = some(recipe(), "train", 2)
    (tmp_path / "photos" / one).write_bytes(b"no photo")
    (tmp_path / "photos" / two).write_bytes(HOLLOW)
    cached = {"data.cache": "memory", "data.cache_resolution": 36}
    with pytest.raises(UserError, match=f"{two} is not a readable photo"):
        setup.prepare(recipe(broken_limit=1, **cached))
    prepared = setup.prepare(recipe(broken_limit=2, **cached))
    assert prepared.batches.skipped == [one, two]
    assert prepared.photos is not None
    assert prepared.photos.splits["train"].left_out == (3, 4)
    photos = broken_photos.Photos(prepared.data.splits, {}, (), begun=True, record=prepared.photos)
    with pytest.raises(UserError, match="could be read when the run began"):
        photos.leave_out("train", prepared.data.train.take(np.arange(9)))


def test_the_record_survives_its_file(record: PhotosRecord, tmp_path: pathlib.Path) -> None:
    path = epath.Path(tmp_path / broken_photos.RECORD)
    assert records.read(PhotosRecord, path) == record
    whole = path.read_bytes()
    for damage in (whole[:-9], b"", whole[:20] + b"junk" + whole[24:], b"{}"):
        path.write_bytes(damage)
        with pytest.raises(UserError, match=r"photos.json.gz is damaged"):
            records.read(PhotosRecord, path)

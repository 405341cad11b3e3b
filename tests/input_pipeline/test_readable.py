"""A look at the ends of each photo finds what can't be read, and nothing else."""

import pathlib
from collections.abc import Mapping

import numpy as np
import pytest
from damaged import BROKEN, FINE, HOLLOW, JPEG, PNG, encoded
from etils import epath
from PIL import Image

from input_pipeline import decode, readable, record_writer
from input_pipeline.readable import find_broken
from input_pipeline.sources import load_source
from input_pipeline.sources.split import Source, Split, from_encoded, from_files


def in_files(folder: pathlib.Path, photos: Mapping[str, bytes]) -> Split:
    for name, content in photos.items():
        (folder / name).write_bytes(content)
    return from_files(epath.Path(folder), list(photos), [0] * len(photos))


def in_memory(photos: Mapping[str, bytes]) -> Split:
    return from_encoded(list(photos.values()), list(photos), [0] * len(photos))


@pytest.fixture
def memory(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "cache" / "photos.bin"


@pytest.mark.parametrize("held", ["in files", "in memory"])
def test_all_that_is_broken_is_found_and_nothing_else(
    tmp_path: pathlib.Path, memory: pathlib.Path, held: str
) -> None:
    photos = BROKEN | FINE
    split = in_files(tmp_path, photos) if held == "in files" else in_memory(photos)
    backwards = np.arange(len(photos))[::-1]
    found = find_broken({"train": split, "test": split.take(backwards)}, memory)
    names = list(BROKEN)
    assert [one.name for one in found] == [*names, *names[::-1]]
    assert [one.index for one in found if one.split == "test"] == [
        len(photos) - 1 - index for index in reversed(range(len(names)))
    ]
    assert all(one.reason and "\n" not in one.reason for one in found)


def test_photos_that_vanished_or_cannot_be_opened_are_broken(
    tmp_path: pathlib.Path, memory: pathlib.Path
) -> None:
    (tmp_path / "d.jpg").symlink_to(tmp_path / "nowhere.jpg")
    in_files(tmp_path, {"a.jpg": JPEG, "b.jpg": JPEG, "c.jpg": JPEG})
    split = from_files(epath.Path(tmp_path), [f"{name}.jpg" for name in "abcd"], [0] * 4)
    (tmp_path / "b.jpg").unlink()
    (tmp_path / "c.jpg").unlink()
    (tmp_path / "c.jpg").mkdir()
    found = [one.name for one in find_broken({"train": split}, memory)]
    assert found == ["b.jpg", "c.jpg", "d.jpg"]


def test_a_photo_damaged_in_its_records_is_found(
    tmp_path: pathlib.Path, memory: pathlib.Path
) -> None:
    photos = from_encoded([JPEG, PNG, JPEG], ["a.jpg", "b.png", "c.jpg"], [0, 1, 0])
    source = Source("x", ("one", "two"), {"train": photos, "test": photos})
    record_writer.write(source, epath.Path(tmp_path / "records"))
    (shard,) = (tmp_path / "records").glob("train*.bin")
    content = shard.read_bytes()
    shard.write_bytes(content[: len(JPEG)] + bytes(len(PNG)) + content[len(JPEG + PNG) :])
    train = load_source("records", str(tmp_path / "records")).splits["train"]
    assert [one.name for one in find_broken({"train": train}, memory)] == ["b.png"]


def test_decoded_photos_are_whole(memory: pathlib.Path) -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    split = Split(np.zeros(3, np.int32), ("a", "b", "c"), lambda _: pixels)
    assert not find_broken({"train": split}, memory)


def test_none_of_the_real_photos_is_broken(shared: pathlib.Path, memory: pathlib.Path) -> None:
    folder = epath.Path(shared / "data" / "imagenet_sample")
    names = sorted(path.name for path in folder.glob("*.jpg"))
    split = from_files(folder, names, [0] * len(names))
    assert len(names) == 200
    assert all(readable.looks_whole(split.ends(index)) for index in range(200))
    assert not find_broken({"train": split}, memory)


def test_the_ends_of_a_file_suffice_for_most_photos(tmp_path: pathlib.Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (500, 500, 3), np.uint8)
    whole = {kind: encoded(Image.fromarray(noise), kind) for kind in ("JPEG", "PNG", "GIF")}
    split = in_files(tmp_path, whole | {f"{kind} cut off": whole[kind][:-99] for kind in whole})
    for index, name in enumerate(split.names):
        ends = split.ends(index)
        assert ends is not None
        assert len(ends.head) + len(ends.tail) < ends.size
        assert readable.looks_whole(ends) == (name in whole)


class Counted:
    """Counts how many photos are looked at."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        plain = readable.problem

        def counted(split: Split, index: int) -> str:
            self.names.append(split.names[index])
            return plain(split, index)

        monkeypatch.setattr(readable, "problem", counted)

    def take(self) -> list[str]:
        names, self.names = sorted(self.names), []
        return names


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


PHOTOS = {"a.jpg": JPEG, "b.png": PNG, "c.jpg": b"no photo", "d.jpg": JPEG}


def test_what_was_whole_is_not_looked_at_again(
    tmp_path: pathlib.Path, memory: pathlib.Path, looked_at: Counted
) -> None:
    def look() -> list[str]:
        names = sorted(path.name for path in tmp_path.glob("*.*"))
        split = from_files(epath.Path(tmp_path), names, [0] * len(names))
        return [one.name for one in find_broken({"train": split}, memory)]

    in_files(tmp_path, PHOTOS)
    assert look() == ["c.jpg"]
    assert looked_at.take() == list(PHOTOS)
    assert look() == ["c.jpg"]  # a broken one is, as it may have been out of reach
    assert looked_at.take() == ["c.jpg"]
    (tmp_path / "a.jpg").write_bytes(JPEG[:-9])
    (tmp_path / "c.jpg").write_bytes(PNG)
    (tmp_path / "e.jpg").write_bytes(JPEG)
    assert look() == ["a.jpg"]
    assert looked_at.take() == ["a.jpg", "c.jpg", "e.jpg"]
    (tmp_path / "b.png").unlink()
    assert look() == ["a.jpg"]
    assert looked_at.take() == ["a.jpg"]


def test_photos_in_memory_are_known_by_their_content(
    memory: pathlib.Path, looked_at: Counted
) -> None:
    splits = {"train": in_memory(PHOTOS), "test": in_memory({"x.jpg": JPEG})}
    find_broken(splits, memory)
    looked_at.take()
    find_broken({"train": in_memory({**PHOTOS, "b.png": PNG + b"\0"})}, memory)
    assert looked_at.take() == ["b.png", "c.jpg"]


@pytest.mark.parametrize("damage", ["cut off", "zeros", "junk", "empty", "missing", "a folder"])
def test_a_damaged_memory_costs_another_look_only(
    memory: pathlib.Path, looked_at: Counted, damage: str
) -> None:
    split = in_memory(PHOTOS | {f"{number}.png": PNG + bytes(number) for number in range(9)})
    find_broken({"train": split}, memory)
    looked_at.take()
    content = memory.read_bytes()
    memory.unlink()
    if damage == "a folder":
        memory.mkdir()
    elif damage != "missing":
        left = {"cut off": content[:29], "zeros": bytes(24), "junk": b"junk" * 9, "empty": b""}
        memory.write_bytes(left[damage])
    for _ in range(2):
        assert [one.name for one in find_broken({"train": split}, memory)] == ["c.jpg"]
        names = looked_at.take()
    assert "c.jpg" in names
    assert (len(names) == 1) == (damage != "a folder")
    assert not list(memory.parent.glob("*.part"))


def test_writers_at_the_same_time_leave_one_whole_memory(memory: pathlib.Path) -> None:
    digests = np.arange(1, 5, dtype=np.uint64)
    readable._remember(memory, digests)
    with readable.written_whole(memory) as part:  # one that is not done yet
        part.write_bytes(b"half")
        readable._remember(memory, digests[:2])
        assert readable._remembered(memory).tolist() == [1, 2]


def test_what_looks_whole_may_still_not_be_decoded(memory: pathlib.Path) -> None:
    split = in_memory({"hollow.png": HOLLOW})
    assert not find_broken({"train": split}, memory)
    with pytest.raises(OSError, match="broken data stream"):
        decode.decode(HOLLOW, 3)

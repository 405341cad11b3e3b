"""Folders are listed through links, and each photo once."""

import os

import pytest

import input_pipeline


@pytest.fixture
def folder(tmp_path):
    """Two classes, one of them a link out of the folder; a third one to link to."""
    for name in (
        "data/a/1.jpg",
        "data/a/sub/2.jpg",
        "store/b/3.jpg",
        "store/b/4.jpg",
        "more/5.jpg",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "data" / "b").symlink_to(tmp_path / "store" / "b")
    return tmp_path / "data"


def listed(folder):
    """What training and what predict.py find, which is the same."""
    splits = input_pipeline.load_source("folders", str(folder)).splits
    names = sorted(name for split in splits.values() for name in split.names)
    found = map(os.path.realpath, input_pipeline.find_photos([str(folder)]))
    assert sorted(found) == sorted(os.path.realpath(folder / name) for name in names)
    return names


PHOTOS = ["a/1.jpg", "a/sub/2.jpg", "b/3.jpg", "b/4.jpg"]


def test_links_to_folders_are_followed(folder):
    (folder / "a" / "link").symlink_to("../../more")
    assert listed(folder) == ["a/1.jpg", "a/link/5.jpg", *PHOTOS[1:]]


@pytest.mark.parametrize(
    "target", [".", "..", "../..", "sub", "../b", "../../store", "../../store/b", "loop", "/"]
)
def test_no_photo_is_listed_twice_through_a_link(folder, target, caplog):
    (folder / "a" / "loop").symlink_to(target)
    assert listed(folder) == PHOTOS
    assert ("a/loop is not followed" in caplog.text) == (target != "loop")


def test_circles_outside_end(folder, tmp_path):
    (folder / "a" / "link").symlink_to("../../more")
    (tmp_path / "more" / "sub").mkdir()
    (tmp_path / "more" / "sub" / "loop").symlink_to("..")
    assert listed(folder) == ["a/1.jpg", "a/link/5.jpg", *PHOTOS[1:]]


def test_a_split_may_link_to_another(tmp_path, folder):
    (tmp_path / "train").symlink_to(folder)
    (tmp_path / "test").symlink_to(folder)
    splits = input_pipeline.load_source("folders", str(tmp_path)).splits
    assert splits["test"].names == [f"test/{name}" for name in PHOTOS]
    assert len(splits["train"]) == 4

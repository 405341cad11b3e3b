"""What lies beside photos is left out, and counted in one line with the reason."""

import dataclasses
import logging
import os
import re

import pytest
from named_files import contents, write

import input_pipeline
from efficientnet.errors import UserError
from input_pipeline import photo_formats
from input_pipeline.sources.walk import FOREIGN, LEFT_OVERS

PHOTOS = ("a/1.jpg", "a/2.jpe", "a/3.JFIF", "a/b/4.png", "c/1.jpg", "c/Copy of 1.jpg")


@pytest.fixture
def folder(tmp_path, caplog):
    write(tmp_path, *PHOTOS)
    caplog.set_level(logging.INFO)
    return tmp_path


def listed(folder):
    """What training and what predict.py find, which is the same."""
    splits = input_pipeline.load_source("folders", str(folder)).splits
    names = sorted(name for split in splits.values() for name in split.names)
    assert sorted(input_pipeline.find_photos([str(folder)])) == [f"{folder}/{n}" for n in names]
    return tuple(names)


def left_out(caplog):
    found = [record.message for record in caplog.records if "left out" in record.message]
    assert len(found) == 2  # one for each of both
    (message,) = {re.sub(".*: left out ", "", message) for message in found}
    return message


def test_nothing_is_said_where_nothing_is_left_out(folder, caplog):
    assert listed(folder) == PHOTOS
    assert "left out" not in caplog.text


def test_left_overs_of_systems_and_tools(folder, caplog):
    hidden = (".DS_Store", "a/._1.jpg", "a/.thumbnails/1.jpg", "c/.ipynb_checkpoints/1.jpg")
    write(folder, *hidden, "Thumbs.db", "a/desktop.ini", "a/@eaDir/1.jpg", "__MACOSX/a/1.jpg")
    write(folder, "a/1.jpg~", "a/~$2.jpg", "a/notes.TXT", "c/README", "c/1.jpg.download")
    assert listed(folder) == PHOTOS
    counts = ["4 hidden", "2 backup copies", "1 Thumbs.db", "1 __MACOSX", "1 @eaDir"]
    message = left_out(caplog)
    assert message.startswith("13 files: 4 hidden, 2 backup copies, ")
    assert set(counts) <= set(message.removeprefix("13 files: ").split(", "))
    assert not any(record.levelno >= logging.WARNING for record in caplog.records)


@pytest.mark.parametrize("name", sorted(LEFT_OVERS))
def test_each_left_over(folder, name):
    write(folder, f"a/{name.title()}/1.jpg" if "." not in name else f"a/{name.upper()}")
    assert listed(folder) == PHOTOS


def test_formats_that_are_not_read(folder, caplog):
    write(folder, "a/5.DNG", "c/6.cr2", "c/7.cr2", "c/8.svg")
    assert listed(folder) == PHOTOS
    said = "4 files: 2 .cr2 (convert them to JPEG), 1 .dng (convert them to JPEG), 1 .svg (convert"
    assert left_out(caplog).startswith(said)
    assert f"such as {folder}/a/5.DNG" in caplog.text
    assert {record.levelname for record in caplog.records if "left out" in record.message} == {
        "WARNING"
    }
    assert not photo_formats.READABLE & FOREIGN.keys()


def test_formats_that_need_an_extra(folder, caplog, monkeypatch):
    heif = next(form for form in photo_formats.FORMATS if form.name == "HEIF")
    needs = dataclasses.replace(heif, package="no-such-package").missing()
    monkeypatch.setattr(photo_formats, "READABLE", photo_formats.READABLE - {".heic"})
    monkeypatch.setitem(FOREIGN, ".heic", needs)
    write(folder, "a/IMG_1.HEIC")
    assert listed(folder) == PHOTOS
    assert left_out(caplog).startswith(
        "1 file: 1 .heic (needs no-such-package: pip install '.[heic]'), such as"
    )


def test_photos_outside_of_class_folders(tmp_path, caplog):
    write(tmp_path, *(f"{split}/{name}" for split in ("train", "test") for name in PHOTOS))
    write(tmp_path, "1.jpg", "train/2.png", "labels.csv")
    source = input_pipeline.load_source("folders", str(tmp_path))
    assert {name: len(split) for name, split in source.splits.items()} == {"train": 6, "test": 6}
    (record,) = caplog.records
    said = f"{tmp_path}: left out 3 files: 2 outside of class folders, 1 .csv, such as {tmp_path}/1"
    assert record.message.startswith(said)


def test_folders_that_look_like_photos_are_folders(folder):
    write(folder, "a/5.jpg/6.jpg", "d.png/7.jpg")
    assert listed(folder) == tuple(sorted((*PHOTOS, "a/5.jpg/6.jpg", "d.png/7.jpg")))


def test_endings_that_lie_or_are_missing(folder):
    (folder / "a" / "png.jpg").write_bytes(b"\x89PNG\r\n\x1a\n")
    for name, begin in (("5", b"\xff\xd8\xff\xe0"), ("6", b"\x89PNG\r\n\x1a\n"), ("7", b"GIF89a")):
        (folder / "a" / name).write_bytes(begin)
    (folder / "a" / "8").write_text("no photo")
    (folder / "a" / "9").write_bytes(b"RIFF1234WAVE")
    os.mkfifo(folder / "a" / "pipe")
    assert listed(folder) == tuple(sorted((*PHOTOS, "a/5", "a/6", "a/7", "a/png.jpg")))


def test_a_folder_of_left_overs_alone_says_what_was_found(folder):
    write(folder, "e/1.cr2", "e/.hidden.jpg")
    with pytest.raises(UserError, match=r"class folder .*/e \(left out 2 files: 1 .*, 1 .*\): add"):
        input_pipeline.load_source("folders", str(folder))
    with pytest.raises(UserError, match=r"there is no photo in .*/e: left out 2 files"):
        input_pipeline.find_photos([str(folder / "e")])


def test_globs_take_photos_alone(folder, caplog):
    write(folder, "a/Thumbs.db", "a/notes.txt", "a/5.cr2", "c/notes.txt")
    assert input_pipeline.find_photos([f"{folder}/a/*"]) == [f"{folder}/{n}" for n in PHOTOS[:3]]
    assert "left out 3 files" in caplog.text
    with pytest.raises(UserError, match=r"no photo .*/\*.txt: left out 2 files: 2 .txt"):
        input_pipeline.find_photos([f"{folder}/*/*.txt"])


@pytest.mark.parametrize("on_disk", ["caf\u00e9", "cafe\u0301"])
@pytest.mark.parametrize("written", ["caf\u00e9", "cafe\u0301"])
def test_names_may_be_composed_and_decomposed(tmp_path, on_disk, written):
    write(tmp_path, f"{on_disk}/1.jpg", "b/2.jpg")
    (tmp_path / "manifest.csv").write_text(f"path,label\n{written}/1.jpg,a\nb/2.jpg,b\n", "utf-8")
    splits = input_pipeline.load_source("manifest", str(tmp_path)).splits
    assert f"{written}/1.jpg" in splits["train"].names
    assert contents(splits["train"])[f"{on_disk}/1.jpg"] == 0
    other = {"train": on_disk, "test": written}
    write(tmp_path, *(f"x/{split}/{name}/1.jpg" for split, name in other.items()))
    write(tmp_path, "x/train/b/1.jpg")
    source = input_pipeline.load_source("folders", str(tmp_path / "x"))
    assert source.class_names[source.splits["test"].labels[0]] == on_disk

import io
import json
import os

import numpy as np
import pytest
from PIL import Image
from preparing import encoded, run

import input_pipeline
from efficientnet.commands import command_line, prepare_data
from efficientnet.paths import write_whole
from input_pipeline.sources import records


def test_records_hold_what_the_source_holds(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(records, "PER_SHARD", 2)
    output = tmp_path / "records"
    status, text = run(capsys, "folders", "--directory", folder, "--output", output, "--json")
    assert status == 0, text.err
    assert json.loads(text.out.splitlines()[-1])["splits"] == {"train": 5, "test": 2}
    assert "train: 4 of 5" in text.out
    source = input_pipeline.load_source("folders", str(folder))
    prepared = input_pipeline.load_source("records", str(output))
    assert prepared.class_names == source.class_names == ("daisy", "tulip ü")
    for name, split in source.splits.items():
        assert prepared.splits[name].names == list(split.names)
        assert (prepared.splits[name].labels == split.labels).all()
    options = {"batch_size": 5, "resolution": 8, "augment": "rotate(20)"}
    for one, two in zip(
        input_pipeline.Loader(source.splits["train"], **options).train(0, 2),
        input_pipeline.Loader(prepared.splits["train"], **options).train(0, 2),
        strict=True,
    ):
        assert all((one[key] == two[key]).all() for key in one)


def test_a_stopped_preparation_goes_on(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(records, "PER_SHARD", 2)
    output = tmp_path / "records"
    (folder / "train" / "daisy" / "4.jpg").write_bytes(b"not a photo")
    arguments = ("folders", "--directory", folder, "--output", output)
    status, text = run(capsys, *arguments)
    assert status == 1
    assert "error: train/daisy/4.jpg is not a readable photo" in text.err
    with pytest.raises(ValueError, match=r"no readable index\.json"):
        input_pipeline.load_source("records", str(output))
    done = output / "train-00000-of-00003.bin"
    before = done.stat().st_mtime_ns
    (folder / "train" / "daisy" / "4.jpg").write_bytes(encoded(4))
    assert run(capsys, *arguments)[0] == 0
    assert done.stat().st_mtime_ns == before
    assert not list(output.glob("*.part"))
    status, text = run(capsys, *arguments, "--resize=20")
    assert status == 1
    assert "holds records of other photos, labels or settings" in text.err


@pytest.fixture
def prepared_manifest(tmp_path, capsys, monkeypatch):
    """A table of four photos to train on; prepares it into records of two photos a shard."""
    monkeypatch.setattr(records, "PER_SHARD", 2)
    root, output = tmp_path / "table", tmp_path / "records"
    root.mkdir()
    for number in range(5):
        (root / f"{number}.jpg").write_bytes(encoded(number))

    def prepare(labels="abab", limit=0):
        rows = [f"{number}.jpg,{label},train" for number, label in enumerate(labels)]
        (root / "manifest.csv").write_text("\n".join(["path,label,split", *rows, "4.jpg,a,test"]))
        return run(
            capsys, "manifest", "--directory", root, "--output", output, "--broken-limit", limit
        )

    return root, output, prepare


def test_a_photo_that_changed_is_prepared_anew(prepared_manifest):
    root, output, prepare = prepared_manifest
    assert prepare()[0] == 0
    kept = (output / "train-00001-of-00002.bin").stat().st_mtime_ns
    (root / "1.jpg").write_bytes(encoded(7))
    assert prepare()[0] == 0
    train = input_pipeline.load_source("records", str(output)).splits["train"]
    assert [train.read(i) for i in range(4)] == [encoded(seed) for seed in (0, 7, 2, 3)]
    assert (output / "train-00001-of-00002.bin").stat().st_mtime_ns == kept


def test_the_drawn_test_split_keeps_groups_together(tmp_path, capsys):
    for number in range(20):
        path = tmp_path / "photos" / "ab"[number % 2] / f"car{number // 4}_{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(number))
    output = tmp_path / "records"
    words = ("folders", "--directory", tmp_path / "photos", "--output", output)
    assert run(capsys, *words, "--group", r"(car\d+)_")[0] == 0
    found = input_pipeline.load_source("records", str(output)).splits
    assert len(found["test"]) == 4
    assert len(set(found["test"].groups)) == 1
    assert not {*found["train"].groups} & {*found["test"].groups}


def test_records_of_other_labels_are_refused(prepared_manifest):
    _, output, prepare = prepared_manifest
    assert prepare("abab")[0] == 0
    status, text = prepare("baba")
    assert status == 1
    assert "records of other photos, labels or settings" in text.err
    train = input_pipeline.load_source("records", str(output)).splits["train"]
    assert list(train.labels) == [0, 1, 0, 1]


def test_photos_left_out_are_held_against_the_limit_again(prepared_manifest):
    root, output, prepare = prepared_manifest
    (root / "3.jpg").write_bytes(b"broken")
    assert prepare(limit=1)[0] == 0
    status, text = prepare(limit=0)
    assert status == 1
    assert "error: 3.jpg is not a readable photo" in text.err
    assert len(input_pipeline.load_source("records", str(output)).splits["train"]) == 3
    (root / "3.jpg").write_bytes(encoded(3))
    assert prepare(limit=0)[0] == 0
    assert len(input_pipeline.load_source("records", str(output)).splits["train"]) == 4


def test_a_shard_that_was_not_written_anew_to_the_end_is_not_read(prepared_manifest, monkeypatch):
    root, output, prepare = prepared_manifest
    assert prepare()[0] == 0
    (root / "1.jpg").write_bytes(encoded(1)[:-1] + b" ")

    def stopped(path, content):
        write_whole(path, content)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("input_pipeline.record_writer.write_whole", stopped)
        assert prepare()[0] == 130
    with pytest.raises(ValueError, match="prepare the records again"):
        input_pipeline.load_source("records", str(output))
    assert prepare()[0] == 0
    train = input_pipeline.load_source("records", str(output)).splits["train"]
    assert train.read(1) == encoded(1)[:-1] + b" "


def test_resize_and_broken_limit(folder, tmp_path, capsys):
    (folder / "train" / "daisy" / "0.jpg").write_bytes(encoded(0, size=(16, 300)))
    (folder / "train" / "daisy" / "2.jpg").write_bytes(b"")
    output = tmp_path / "records"
    status, text = run(
        capsys, "folders", "--directory", folder, "--output", output, "--json", "--resize=20",
        "--broken-limit=1",
    )  # fmt: skip
    assert status == 0, text.err
    assert json.loads(text.out.splitlines()[-1])["left_out"] == ["train/daisy/2.jpg"]
    train = input_pipeline.load_source("records", str(output)).splits["train"]
    sizes = {
        name: Image.open(io.BytesIO(train.read(index))).size
        for index, name in enumerate(train.names)
    }
    assert len(sizes) == 4
    assert sizes["train/daisy/0.jpg"] == (16, 300), "it is small enough already"
    assert sizes["train/tulip ü/1.jpg"] == (27, 20)


def test_records_that_were_cut_off_are_refused(folder, tmp_path, capsys):
    output = tmp_path / "records"
    run(capsys, "folders", "--directory", folder, "--output", output)
    shard = output / "test-00000-of-00001.bin"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(ValueError, match="is cut off or changed"):
        input_pipeline.load_source("records", str(output))


def test_no_record_stays_open(folder, tmp_path, capsys, monkeypatch):
    """There may be more shards than a process may have open files."""
    monkeypatch.setattr(records, "PER_SHARD", 1)
    output = tmp_path / "records"
    run(capsys, "folders", "--directory", folder, "--output", output)
    still_open = set()
    opening, closing = os.open, os.close

    def opened(*arguments, **options):
        descriptor = opening(*arguments, **options)
        still_open.add(descriptor)
        return descriptor

    def closed(descriptor):
        still_open.discard(descriptor)
        closing(descriptor)

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "close", closed)
    train = input_pipeline.load_source("records", str(output)).splits["train"]
    assert not still_open
    photos = [train.read(index) for index in range(5)]
    assert photos == [(folder / name).read_bytes() for name in train.names]
    assert not still_open


def test_statistics_are_those_of_numpy(folder, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("EFFICIENTNET_CACHE", str(tmp_path / "cache"))
    status, text = run(
        capsys, "folders", "--directory", folder, "--statistics", "--resize=16", "--json"
    )
    assert status == 0
    result = json.loads(text.out.splitlines()[-1])
    train = input_pipeline.load_source("folders", str(folder)).splits["train"]
    (batch,) = input_pipeline.Loader(train, batch_size=5, resolution=16).evaluate(train)
    np.testing.assert_allclose(result["mean"], batch["image"].mean((0, 1, 2)) / 255)
    np.testing.assert_allclose(result["std"], batch["image"].std((0, 1, 2)) / 255)


def test_nothing_to_do_and_wrong_sizes_are_errors(folder, tmp_path, capsys):
    assert "nothing to do" in run(capsys, "elpv")[1].err
    status, text = run(
        capsys, "folders", "--directory", folder, "--output", tmp_path / "r", "--resize=0"
    )
    assert status == 1
    assert "--resize=0" in text.err


def test_what_can_not_be_opened_is_one_sentence(folder, tmp_path, capsys):
    text = tmp_path / "text"
    text.touch()
    for main, arguments, path in (
        (prepare_data.main, ["folders", f"--directory={folder}", f"--output={text}/r"], "text/r"),
        (prepare_data.main, ["folders", f"--directory={folder}", f"--output={text}"], "text"),
    ):
        assert command_line.run(main, [str(argument) for argument in arguments]) == 1
        error = capsys.readouterr().err
        assert error.startswith(
            f"error: {tmp_path / path} can't be read or written, check the path"
        )
        assert error.count("\n") == 1

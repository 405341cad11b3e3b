"""The command says of photos what the run's own evaluation says, whatever else lies among them."""

import csv
import io
import json
import os
import pathlib

import numpy as np
import pyarrow.parquet
import pytest
from odd_names import ODD
from PIL import Image

import input_pipeline
from efficientnet.commands import command_line, predict
from efficientnet.inference import writers
from efficientnet.inference.loading import load_run
from efficientnet.paths import printable


def call(*arguments: object) -> int:
    return command_line.run(predict.main, list(map(str, arguments)))


def test_a_run_says_what_its_evaluation_measured(trained, tmp_path, capsys) -> None:
    output, features = tmp_path / "said.jsonl", tmp_path / "features.npz"
    run = f"--workdir={trained.workdir}"
    assert not call(
        trained.photos / "test",
        *(run, "--stage=all", "--top=9", "--format=jsonl"),
        *(f"--output={output}", f"--features={features}"),
    )
    said = [json.loads(line) for line in output.read_text().splitlines()]
    assert len(said) == 21
    hits, losses = [], []
    for row in said:
        true = pathlib.Path(row["image"]).parent.name
        assert len(row["predictions"]) == 3
        hits.append(row["predictions"][0]["class"] == true)
        (probability,) = (p["probability"] for p in row["predictions"] if p["class"] == true)
        losses.append(-np.log(probability))
    summary = json.loads((trained.workdir / "summary.json").read_text())
    measured = summary["stages"][-1]["metrics"]["test"]
    assert np.mean(hits) == pytest.approx(measured["top1"])
    assert np.mean(losses) == pytest.approx(measured["loss"], abs=1e-5)

    with np.load(features) as content:
        assert list(content["image"]) == [row["image"] for row in said]
        kept = content["features"]
    network = load_run(str(trained.workdir))
    logits = network.module.clone(classifier_only=True).apply(network.variables, kept)
    best = [network.class_names[index] for index in np.argmax(logits, axis=1)]
    assert best == [row["predictions"][0]["class"] for row in said]
    assert capsys.readouterr().out == ""


def test_broken_photos_are_named_and_the_rest_is_classified(trained, tmp_path, capsys) -> None:
    for number in range(3):
        Image.new("L", (50, 50), 80 * number).save(tmp_path / f"{number}.png")
    (tmp_path / "1.png").write_bytes(b"no photo")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "4.jpg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "notes.txt").write_text("no photo either")
    run = f"--workdir={trained.workdir}"
    assert call(tmp_path, run, "--format=csv", "--top=2", "--json") == 1
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    rows = list(csv.DictReader(lines[:-1]))
    assert [row["rank"] for row in rows] == ["1", "2"] * 2
    assert [row["image"] for row in rows[::2]] == [str(tmp_path / n) for n in ("0.png", "2.png")]
    for given, row in zip(json.loads(lines[-1]), rows[::2], strict=True):
        assert given["image"] == row["image"]
        assert given["predictions"][0]["probability"] == float(row["probability"])
    assert captured.err.startswith("error: 2 of 4 files can't be read as photos: ")
    assert "1.png" in captured.err
    assert "4.jpg" in captured.err


def test_features_for_tables(trained, tmp_path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "features.parquet"
    photo = trained.photos / "test" / "red" / "0.png"
    assert not call(photo, f"--workdir={trained.workdir}", f"--features={path}", "--top=1")
    table = parquet.read_table(path)
    assert table.column("image").to_pylist() == [str(photo)]
    assert len(table.column("features")[0]) == 1280 // 4


def test_bad_arguments_are_one_sentence(trained, tmp_path, capsys) -> None:
    photo, run = trained.photos / "test" / "red" / "0.png", f"--workdir={trained.workdir}"
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.npz").mkdir()
    for arguments, message in (
        ([tmp_path / "empty", run], "there is no photo in"),
        ([tmp_path / "*.jpg", run], "there is no photo"),
        ([photo, run, "--top=0"], "--top=0 should be"),
        ([photo, run, "--variant=b0"], "--variant goes with --weights"),
        ([photo, "--weights=lite_wheel", "--stage=all"], "--stage goes with --workdir"),
        ([photo, run, "--features=x.txt"], "expected a name ending in .npz or .parquet"),
        ([photo, run, f"--features={tmp_path}/no/x.npz"], "there is no folder"),
        ([photo, run, f"--output={tmp_path}/no/x.csv"], "there is no folder"),
        ([photo, run, f"--output={tmp_path}"], "it is a folder"),
        ([photo, run, f"--features={tmp_path / 'x.npz'}"], "it is a folder"),
        ([photo, f"--workdir={tmp_path}"], "is no run's workdir"),
    ):
        assert call(*arguments) == 1
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert message in error


def test_a_file_is_replaced_when_all_is_written(tmp_path) -> None:
    file, link = tmp_path / "said.csv", tmp_path / "link.csv"
    file.write_text("of last time")
    link.symlink_to(file)

    def interrupted() -> None:
        with writers.opened(link) as output:
            output.write("half")
            output.flush()
            assert file.read_text() == "of last time"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert file.read_text() == "of last time"
    with writers.opened(link) as output:
        output.write("all")
    assert file.read_text() == "all"
    assert link.is_symlink()
    assert {path.name for path in tmp_path.iterdir()} == {"said.csv", "link.csv"}


def test_a_device_stays_one() -> None:
    null = pathlib.Path(os.devnull)
    with writers.opened(null) as output:
        output.write("away")
    assert null.is_char_device()


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["", "--workdir=run"], "IMAGE"),
        (["photo.jpg", "--workdir="], "--workdir"),
        (["photo.jpg", "--weights="], "--weights"),
    ],
)
def test_what_is_empty_is_named(arguments, name, capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        call(*arguments)
    assert f"argument {name}: it is empty" in capsys.readouterr().err


def test_globs_and_folders_stand_for_photos(trained) -> None:
    folder = trained.photos / "test"
    red = input_pipeline.find_photos([str(folder / "red")])
    assert len(red) == 7
    assert input_pipeline.find_photos([str(folder / "**" / "0.png")]) == [
        str(folder / name / "0.png") for name in ("blue", "green", "red")
    ]
    assert input_pipeline.find_photos([red[0], red[0]]) == [red[0]] * 2


@pytest.mark.parametrize("name", ODD)
def test_odd_names_are_shown_in_tables_and_kept_in_files(name, tmp_path) -> None:
    row = {"index": 0, "class": name, "probability": 0.5}
    written = {}
    for kind, write in writers.FORMATS.items():
        with writers.opened(tmp_path / "said") as file:
            write(file, [{"image": name, "predictions": [row]}])
        written[kind] = (tmp_path / "said").read_bytes()
    shown = printable(name)
    assert written["table"].decode() == f"{shown}\n   50.0%  {shown}\n"
    said = json.loads(written["jsonl"])
    assert (said["image"], said["predictions"][0]["class"]) == (name, name)
    text = io.StringIO(written["csv"].decode(errors="surrogateescape"), newline="")
    assert [*csv.reader(text)][1:] == [[name, "1", "0", name, "0.5"]]


def test_odd_names_reach_a_pipe_as_they_are(capfdbinary) -> None:
    with writers.opened(None) as file:
        for write in (writers.write_csv, writers.write_table):
            write(file, [{"image": "caf\udce9.jpg", "predictions": []}])
    assert capfdbinary.readouterr().out.splitlines()[1:] == [rb"caf\udce9.jpg"]


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test_features_keep_odd_names(ending, tmp_path) -> None:
    path = tmp_path / f"features.{ending}"
    writers.write_features(path, ODD, np.zeros((len(ODD), 2), np.float32))
    if ending == "npz":
        assert tuple(np.load(path)["image"]) == ODD
    else:
        names = pyarrow.parquet.read_table(path)["image"].to_pylist()
        assert names == [name.replace("\udce9", r"\udce9") for name in ODD]

import json
import shutil

import numpy as np
import PIL.Image
import pytest
from checkpoint_files import NUM_CLASSES, WRITERS

import efficientnet
from efficientnet.commands import command_line, convert_weights, predict

pytestmark = pytest.mark.usefixtures("tiny")


def last_json(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_convert_then_predict(tmp_path, capsys):
    source, output = WRITERS["tf1"](tmp_path), tmp_path / "x.safetensors"
    arguments = [str(source), f"--output={output}", "--variant=tiny", "--json"]
    assert command_line.run(convert_weights.main, arguments) == 0
    result = last_json(capsys)
    assert result["moving_averages"]
    assert result["bytes"] == output.stat().st_size
    assert (result["variant"], result["family"], result["source"]) == ("tiny", "tf1", "tf1")
    shutil.rmtree(source)

    photo = tmp_path / "photo.png"
    pixels = np.random.default_rng(0).integers(0, 256, (70, 50, 4), np.uint8)
    PIL.Image.fromarray(pixels).save(photo)
    arguments = [f"--weights={output}", str(photo), str(photo), "--json"]
    assert command_line.run(predict.main, arguments) == 0
    first, second = last_json(capsys)
    assert first == second
    assert first["image"] == str(photo)
    probabilities = [row["probability"] for row in first["predictions"]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1)  # there are only five classes
    assert {row["class"] for row in first["predictions"]} == {
        f"class {index}" for index in range(NUM_CLASSES)
    }


def test_registry_is_shown(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("EFFICIENTNET_CACHE", str(tmp_path))
    assert command_line.run(convert_weights.main, ["--list", "--json"]) == 0
    rows = last_json(capsys)
    assert len(rows) == 41 + 8 + 8
    assert not any(row["cached"] for row in rows)


def test_bad_input_is_one_sentence(tmp_path, capsys):
    weights = WRITERS["lukemelas-zip"](tmp_path)
    text = tmp_path / "photo.jpg"
    text.write_text("no photo")
    output, folder = tmp_path / "x.safetensors", tmp_path / "folder.safetensors"
    folder.mkdir()
    for main, arguments, message in (
        (convert_weights.main, ["nope", f"--output={output}"], "no weights are called 'nope'"),
        (convert_weights.main, [str(text), f"--output={output}"], "no format known"),
        (
            convert_weights.main,
            [str(weights), f"--output={tmp_path}/no/x.safetensors"],
            "no folder",
        ),
        (convert_weights.main, [str(weights), f"--output={tmp_path}/x.pth"], "can't write"),
        (convert_weights.main, [str(weights), f"--output={folder}"], "it is a folder"),
        (
            predict.main,
            [f"--weights={weights}", str(text)],
            "1 of 1 files can't be read as photos",
        ),
        (predict.main, [f"--weights={weights}", str(tmp_path / "no.jpg")], "there is no photo"),
        (predict.main, [f"--weights={text}", str(text)], "no format known"),
    ):
        assert command_line.run(main, arguments) == 1
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        assert message in error
    assert not output.exists()


def test_the_package_loads_a_network(tmp_path):
    network = efficientnet.load(str(WRITERS["lukemelas-zip"](tmp_path)))
    images = np.zeros((2, 32, 32, 3), np.uint8)
    assert network(images).shape == (2, NUM_CLASSES)
    np.testing.assert_allclose(
        network.preprocess(images)[0, 0, 0], [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225]
    )
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = efficientnet.nope

"""The page to show others: its answers are those of predict.py, and programs get them as JSON."""

import json
import pathlib
import socket
import sys

import numpy as np
import pytest

import input_pipeline
from efficientnet.commands import command_line, predict, serve
from efficientnet.errors import UserError
from efficientnet.inference import serving
from efficientnet.inference.loading import load_run
from efficientnet.inference.serving import Classifier


@pytest.fixture(scope="module")
def classifier(trained) -> Classifier:
    return Classifier(load_run(str(trained.workdir)), top=2)


@pytest.fixture
def photos(trained, tmp_path: pathlib.Path) -> list[str]:
    """Nine photos, so more than a batch, and one that is none."""
    good = sorted(map(str, (trained.photos / "test").rglob("*.png")))[:9]
    (tmp_path / "bad.jpg").write_bytes(b"no photo")
    return [good[0], str(tmp_path / "bad.jpg"), *good[1:]]


def test_answers_are_those_of_predict(classifier, trained, photos, capsys) -> None:
    words = [*photos, f"--workdir={trained.workdir}", "--top=2", "--json"]
    assert command_line.run(predict.main, words) == 1  # one photo can't be read
    expected = {row["image"]: row for row in json.loads(capsys.readouterr().out.splitlines()[-1])}
    answers = classifier(input_pipeline.photo_split(photos))
    assert [answer.photo for answer in answers] == photos
    assert answers[1].to_json() == {"image": photos[1], "error": "it can't be read as a photo"}
    for answer in answers[:1] + answers[2:]:
        known = expected[answer.photo]["predictions"]
        assert [row["class"] for row in answer.predictions] == [row["class"] for row in known]
        np.testing.assert_allclose(
            [row["probability"] for row in answer.predictions],
            [row["probability"] for row in known],
            atol=1e-5,
        )
        assert answer.picture.shape == (40, 40, 3)
        assert answer.picture.dtype == np.uint8


def test_one_photo_is_answered_as_among_others(classifier, photos) -> None:
    classifier.warm_up()
    (alone,) = classifier(input_pipeline.photo_split(photos[:1]))
    among = classifier(input_pipeline.photo_split(photos))[0]
    assert alone.predictions[0]["class"] == among.predictions[0]["class"]
    np.testing.assert_allclose(alone.picture, among.picture, atol=1)


def test_programs_get_json_and_people_a_page(classifier, photos) -> None:
    pytest.importorskip("gradio", reason="needs pip install '.[serve]'")
    from fastapi.testclient import TestClient

    client = TestClient(serving.application(classifier, "my run"))
    content = pathlib.Path(photos[0]).read_bytes()
    files = [
        ("photos", ("a.png", content)),
        ("photos", ("a.png", content)),
        ("photos", ("b", b"-")),
    ]
    first, second, broken = client.post("/classify", files=files).json()
    assert (first["image"], second["image"]) == ("a.png", "a.png (2)")
    assert first["predictions"] == second["predictions"]
    assert broken == {"image": "b", "error": "it can't be read as a photo"}
    assert client.post("/classify").status_code == 422
    assert client.get("/").status_code == 200
    page = client.get("/config").json()
    assert page["title"] == "my run"
    text = "# my run\nTells 3 classes apart: blue, green, red"
    assert text in [part["props"].get("value") for part in page["components"]]

    upload = {"files": ("a.jpg", b"no photo", "image/jpeg")}
    (path,) = client.post("/gradio_api/upload", files=upload).json()
    photo = {"path": path, "meta": {"_type": "gradio.FileData"}}
    label, heat = client.post("/gradio_api/run/photo", json={"data": [photo]}).json()["data"]
    assert (label["label"], heat) == ("can't be read as a photo", None)


def test_what_is_wrong_is_said_before_the_network_is_loaded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert command_line.run(serve.main, ["--weights=none", f"--port={port}"]) == 1
    assert f"can't listen at 127.0.0.1:{port} (Address already in use)" in capsys.readouterr().err
    assert command_line.run(serve.main, ["--weights=none", "--port=70000"]) == 1
    assert "--port=70000: expected at most 65535" in capsys.readouterr().err


def test_without_gradio_the_extra_is_named(classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(UserError, match=r"pip install '\.\[serve\]'"):
        serving.application(classifier, "my run")

"""What is exported says what the network says, without this program; what does not is not left."""

import dataclasses
import json
import re
import subprocess
import sys

import jax
import numpy as np
import pytest
from odd_names import ODD
from PIL import Image

import input_pipeline
from efficientnet.commands import command_line, export, predict
from efficientnet.inference.export import exporter
from efficientnet.inference.export.formats import DEFAULT, FORMATS, write_stablehlo
from efficientnet.inference.export.tensorflow_graph import Graph
from efficientnet.inference.loading import load_run
from efficientnet.inference.network import Network
from efficientnet.paths import printable
from efficientnet.weights import Preprocessing


def call(*arguments: object) -> int:
    return command_line.run(export.main, list(map(str, arguments)))


def test_stablehlo_takes_any_batch(trained, tmp_path, capsys) -> None:
    folder = tmp_path / "new" / "exported"
    beside = tmp_path / "new" / "exported.part"
    beside.mkdir(parents=True)
    (beside / "mine.txt").touch()
    run = f"--workdir={trained.workdir}"
    assert not call(run, f"--output={folder}", "--formats=stablehlo", "--json")
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    metadata = json.loads((folder / "metadata.json").read_text())
    assert said == {"output": str(folder), **metadata}
    assert metadata["inputs"]["images"] == ["batch", 40, 40, 3]
    assert 0 <= metadata["largest_difference"]["stablehlo"] <= 1e-4
    assert (folder / "labels.txt").read_text().splitlines() == ["blue", "green", "red"]
    names = {path.name for path in folder.iterdir()}
    assert names == {"README.md", "labels.txt", "metadata.json", "network.stablehlo"}
    assert {path.name for path in folder.parent.iterdir()} == {"exported", "exported.part"}
    assert [path.name for path in beside.iterdir()] == ["mine.txt"]
    assert folder.stat().st_mode == beside.stat().st_mode

    exported = jax.export.deserialize((folder / "network.stablehlo").read_bytes())
    assert exported.platforms == ("cpu", "tpu", "cuda")
    images = np.random.default_rng(1).integers(0, 256, (5, 40, 40, 3), np.uint8)
    answer = exported.call(images)
    np.testing.assert_allclose(answer["logits"], load_run(str(trained.workdir))(images), atol=1e-4)
    np.testing.assert_allclose(np.sum(answer["probabilities"], axis=1), 1, rtol=1e-5)

    assert call(run, f"--output={folder}") == 1
    assert "already exists" in capsys.readouterr().err


def test_every_class_has_one_line() -> None:
    lines = exporter.labels(ODD).encode().decode().splitlines()
    assert lines == [printable(name) for name in ODD]


def test_what_disagrees_is_not_left(trained, tmp_path, monkeypatch, capsys) -> None:
    def write_another(network: Network, path) -> None:
        doubled = jax.tree.map(lambda leaf: 1.01 * leaf, network.variables)
        write_stablehlo(dataclasses.replace(network, variables=doubled), path)

    another = dataclasses.replace(FORMATS["stablehlo"], write=write_another)
    monkeypatch.setitem(FORMATS, "stablehlo", another)
    folder = tmp_path / "exported"
    assert call(f"--workdir={trained.workdir}", f"--output={folder}", "--formats=stablehlo") == 1
    assert "the exported stablehlo differs from the network by" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_needs_this_program_is_not_left(trained, tmp_path, monkeypatch, capsys) -> None:
    needy = dataclasses.replace(FORMATS["stablehlo"], loading="import efficientnet\nanswer = {}")
    monkeypatch.setitem(FORMATS, "stablehlo", needy)
    folder = tmp_path / "exported"
    assert call(f"--workdir={trained.workdir}", f"--output={folder}", "--formats=stablehlo") == 1
    assert "the exported stablehlo can't be run" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_unknown_formats_are_named(trained, tmp_path, capsys) -> None:
    assert call(f"--workdir={trained.workdir}", f"--output={tmp_path}/x", "--formats=pickle") == 1
    assert "unknown format 'pickle': expected some of stablehlo" in capsys.readouterr().err


@pytest.mark.parametrize("padding", ["same", "symmetric"])
@pytest.mark.parametrize("head_batch_norm", [True, False])
def test_tensorflow_graph_is_the_network(trained, padding, head_batch_norm) -> None:
    network = load_run(str(trained.workdir))
    module = network.module.clone(padding=padding, head_batch_norm=head_batch_norm, bn_epsilon=0.01)
    network = dataclasses.replace(network, module=module, resolution=45)
    images = np.random.default_rng(1).integers(0, 256, (2, 45, 45, 3), np.uint8)
    answer = Graph(network).classify(images)
    np.testing.assert_allclose(answer["logits"], network(images), atol=1e-4)


def readme_of(preparation: str, channels: int = 3) -> str:
    preprocessing = Preprocessing((0.0,) * channels, (1.0,) * channels)
    network = Network(None, {}, preprocessing, ("a", "b"), 40, preparation)
    return exporter.readme(network, DEFAULT, "a test")


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize(
    "preparation",
    [
        "",
        "resize('bicubic')",
        "center_crop(0.8)",
        "resize_center_crop(48)",
        "pad",
        "pad('blur')",
        "pad((255, 0, 9), 'bicubic')",
        "pad(7)",
    ],
)
def test_the_readme_prepares_photos_as_the_evaluation(
    preparation, channels, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = readme_of(preparation, channels)
    assert f"This is `{preparation or 'resize'}`" in text
    lines = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    evaluate = input_pipeline.without_chance(preparation, 40, channels)
    noise = np.random.default_rng(2).integers(0, 256, (9, 12, 3)).astype(np.uint8)
    for size in ((90, 61), (33, 70), (40, 40)):
        Image.fromarray(noise).resize(size).save("photo.jpg", "PNG")
        said: dict = {}
        exec(lines, said)
        expected = evaluate((tmp_path / "photo.jpg").read_bytes(), [], (0, 0))
        # Pillow rounds twice, and differently where only a part of the photo is resized.
        np.testing.assert_allclose(said["images"][0].astype(int), expected, atol=2)


def test_the_readme_names_what_it_cannot_show() -> None:
    assert "they were preprocessed by `pad|grayscale(1.0)`" in readme_of("pad|grayscale(1.0)")


@pytest.mark.slow
def test_every_format_and_the_lines_of_its_readme(trained, tmp_path, capsys) -> None:
    formats = [*DEFAULT]
    try:
        import onnxruntime  # noqa: F401
        import tf2onnx  # noqa: F401
    except ImportError:
        pass
    else:
        formats.append("onnx")
    folder = tmp_path / "exported"
    run = f"--workdir={trained.workdir}"
    assert not call(run, f"--output={folder}", f"--formats={','.join(formats)}")

    photo = trained.photos / "test" / "red" / "0.png"
    command_line.run(predict.main, [str(photo), run, "--json"])
    (said,) = json.loads(capsys.readouterr().out.splitlines()[-1])
    (folder / "photo.jpg").write_bytes(photo.read_bytes())
    blocks = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    prepare, *loading, answer = blocks
    assert len(loading) == len(formats)
    for lines in loading:
        program = "\n".join([prepare, lines, answer, 'print(np.max(answer["probabilities"]))'])
        done = subprocess.run(
            [sys.executable, "-I", "-c", program],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
        label, probability = done.stdout.splitlines()
        assert label == said["predictions"][0]["class"]
        assert float(probability) == pytest.approx(said["predictions"][0]["probability"], abs=0.02)

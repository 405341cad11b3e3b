"""Grad-CAM against what can be computed by hand, and the command's pictures."""

import argparse
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from odd_names import ODD
from PIL import Image

import input_pipeline
from efficientnet.commands import command_line, networks
from efficientnet.commands.explain import main
from efficientnet.inference.explain import Explanation, explain, grad_cam
from efficientnet.inference.heatmaps import draw, overlay
from efficientnet.inference.loading import load_run
from efficientnet.inference.predict import photo_loader
from efficientnet.network.model import init_variables


@pytest.mark.parametrize("labels", [None, [2, 0]])
def test_grad_cam_is_cam_for_a_linear_classifier_over_mean_features(trained, labels) -> None:
    network = load_run(str(trained.workdir))
    # A head whose every number matters: of a short run many would be near zero.
    rng = np.random.default_rng(0)
    variables = jax.tree.map(np.array, init_variables(network.module, jax.random.key(1)))
    network.variables.update(variables)
    for leaves in (variables["params"], variables["batch_stats"]):
        for values in leaves["predictions_bn"].values():
            values[:] = rng.uniform(0.5, 2, values.shape)
    images = rng.integers(0, 256, (2, 70, 90, 3), np.uint8)
    chosen = None if labels is None else jnp.asarray(labels)
    logits, heat = grad_cam(network, images, chosen)

    expected, collections = network.module.apply(
        network.variables, network.preprocess(images), mutable=["intermediates"]
    )
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    (maps,) = collections["intermediates"]["top"]
    bn, stats = variables["params"]["predictions_bn"], variables["batch_stats"]["predictions_bn"]
    kernel = variables["params"]["predictions"]["kernel"]
    kernel = kernel * (bn["scale"] / np.sqrt(stats["var"] + 1e-3))[:, None]
    kernel -= kernel.mean(axis=1, keepdims=True)  # which changes no probability
    rows = np.argmax(logits, axis=1) if labels is None else labels
    for number, label in enumerate(rows):
        cam = np.zeros(maps.shape[1:3])
        for y in range(maps.shape[1]):
            for x in range(maps.shape[2]):
                cam[y, x] = float(maps[number, y, x] @ kernel[:, label])
        cam = np.maximum(cam, 0) / cam.size
        assert cam.max() > 0
        np.testing.assert_allclose(heat[number], cam, rtol=1e-4, atol=1e-6 * cam.max())


def test_each_photo_is_explained_for_the_class_asked_for(trained) -> None:
    network = load_run(str(trained.workdir))
    paths = sorted(map(str, (trained.photos / "test").rglob("*.png")))
    photos = photo_loader(network, input_pipeline.photo_split(paths), 8)
    found = list(explain(network, photos, label=1))
    assert [one.name for one in found] == paths
    for one in found:
        assert one.image.shape == (40, 40, 3)
        assert one.heat.shape == (40, 40)
        assert one.label == 1
        assert one.heat.min() >= 0
        assert one.heat.max() in (pytest.approx(1), 0)
    best = list(explain(network, photos))
    assert all(one.probability >= other.probability for one, other in zip(best, found, strict=True))


def test_the_heat_lies_where_it_is_hot() -> None:
    image = np.full((4, 4, 1), 128, np.uint8)
    heat = np.zeros((4, 4), np.float32)
    heat[0, 0] = 1
    laid = overlay(image, heat)
    assert laid.shape == (4, 4, 3)
    np.testing.assert_allclose(laid[1:], 128 / 255)
    assert np.ptp(laid[0, 0]) > 0.2  # a color
    one = Explanation("photo", image, 0, 0.5, heat)
    figure = draw([[one]] * 3, [["cat"]])
    titles = [panel.get_title() for panel in figure.axes]
    assert titles == ["photo", "cat, 50.0%"] * 3 + [""] * 2


def test_networks_have_a_column_each_under_their_names() -> None:
    image, heat = np.zeros((4, 4, 1), np.uint8), np.zeros((4, 4), np.float32)
    larger, heat_there = np.zeros((6, 6, 3), np.uint8), np.zeros((6, 6), np.float32)
    long = "Chevrolet Silverado 1500 Extended Cab 2012"
    photos = [
        [Explanation(name, image, 0, 0.5, heat), Explanation(name, larger, 1, 0.25, heat_there)]
        for name in ("1.jpg", "2.jpg")
    ]
    figure = draw(photos, [["cat"], ["dog", long]], ["small", "large"])
    panels = np.reshape(figure.axes, (3, 3))
    assert [[text.get_text() for text in panel.texts] for panel in panels[0]] == [
        [],
        ["small"],
        ["large"],
    ]
    for row, name in zip(panels[1:], ("1.jpg", "2.jpg"), strict=True):
        plain, first, second = (panel.get_title() for panel in row)
        assert (plain, first) == (name, "cat, 50.0%")
        assert second.replace("\n", " ") == f"{long}, 25.0%"
        assert max(map(len, second.split("\n"))) < 32


def test_what_can_not_be_written_is_said_before_the_work(tmp_path, capsys) -> None:
    photo = tmp_path / "photo.png"
    Image.new("RGB", (8, 8)).save(photo)
    (tmp_path / "folder.png").mkdir()
    for output, message in (
        ("folder.png", "it is a folder"),
        ("no/x.png", "there is no folder"),
        ("x.JPG", "expected a name ending in .png, or a folder"),
        ("photo.png/why", "photo.png is a file"),
    ):
        # No run is there to be loaded.
        words = [str(photo), f"--workdir={tmp_path}", f"--output={tmp_path / output}"]
        assert command_line.run(main, words) == 1
        assert message in capsys.readouterr().err
    assert len(list(tmp_path.iterdir())) == 2


def test_the_command_writes_pictures(trained, tmp_path, capsys) -> None:
    folder = trained.photos / "test"
    photos = [str(folder / name / "0.png") for name in ("red", "green")]
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    run = f"--workdir={trained.workdir}"
    arguments = [*photos, str(broken), run, f"--output={tmp_path / 'why'}", "--class=red", "--json"]
    assert command_line.run(main, arguments) == 1
    captured = capsys.readouterr()
    rows = json.loads(captured.out.splitlines()[-1])
    assert [row["image"] for row in rows] == photos
    assert [row["class"] for row in rows] == ["red"] * 2
    assert "1 of 3 files can't be read as photos" in captured.err
    assert sorted(path.name for path in (tmp_path / "why").iterdir()) == ["0.png", "0_2.png"]

    assert command_line.run(main, [*photos, run, f"--output={tmp_path}/all.png"]) == 0
    with Image.open(tmp_path / "all.png") as picture:
        assert picture.size[0] > picture.size[1] > 200
    arguments = [*photos, run, f"--output={tmp_path}/all.png", "--class=redd"]
    assert command_line.run(main, arguments) == 1
    assert "there is no class 'redd': expected a name such as red" in capsys.readouterr().err


def test_networks_are_explained_side_by_side(trained, tmp_path, capsys, caplog) -> None:
    other = tmp_path / "other"
    other.symlink_to(trained.workdir)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    photos = [str(trained.photos / "test" / name / "0.png") for name in ("red", "green")]
    runs = [f"--workdir={trained.workdir}", f"--workdir={other}"]
    output = f"--output={tmp_path}/all.png"
    assert command_line.run(main, [photos[0], str(broken), photos[1], *runs, output, "--json"]) == 1
    assert len(caplog.messages) == 1  # one warning, not one of each network
    captured = capsys.readouterr()
    rows = json.loads(captured.out.splitlines()[-1])
    assert [row["image"] for row in rows] == [photos[0], photos[0], photos[1], photos[1]]
    assert [row["network"] for row in rows] == ["run", "other"] * 2
    assert rows[0]["probability"] == rows[1]["probability"]
    assert captured.err.splitlines()[-1].startswith("error: 1 of 3 files can't be read as photos")
    with Image.open(tmp_path / "all.png") as picture:
        assert picture.size[1] > 600
    for more, message in (
        ([runs[0]], "the same network is named twice"),
        (["--stage=all"] * 3, "--workdir is given 2 times for 3 networks"),
    ):
        assert command_line.run(main, [*photos, *runs, *more, output]) == 1
        assert message in capsys.readouterr().err


def test_what_is_named_once_is_for_all_networks() -> None:
    parser = argparse.ArgumentParser()
    networks.add_arguments(parser, several=True)
    for words, expected in (
        (["--weights=a"], [("a", None)]),
        (["--weights=a", "--variant=b0", "--variant=b3"], [("a", "b0"), ("a", "b3")]),
        (["--weights=a", "--weights=b", "--variant=b0"], [("a", "b0"), ("b", "b0")]),
    ):
        found = networks.one_by_one(parser.parse_args(words))
        assert [(one.weights, one.variant) for one in found] == expected


def test_photos_with_odd_names_are_explained(trained, tmp_path) -> None:
    photo = (trained.photos / "test" / "red" / "0.png").read_bytes()
    # A name in other bytes than UTF-8 is refused.
    names = [name for name in ODD if "/" not in name and "\udce9" not in name]
    (tmp_path / "photos").mkdir()
    for name in names:
        (tmp_path / "photos" / f"{name}.png").write_bytes(photo)
    run = f"--workdir={trained.workdir}"
    for output in ("why", "why.png"):
        words = [str(tmp_path / "photos"), run, f"--output={tmp_path / output}"]
        assert command_line.run(main, words) == 0
    assert len([*(tmp_path / "why").iterdir()]) == len(names)

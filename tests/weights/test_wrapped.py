"""Files of people's own training: the network in a larger model, or without its classifier."""

import argparse
import collections
import logging
import pathlib
import pickle
import pickletools

import h5py
import numpy as np
import pytest
from checkpoint_files import (
    NUM_CLASSES,
    WRITERS,
    Pickle,
    foreign,
    leaves,
    state_dict,
    write_h5,
    write_nested,
    write_old_pth,
    write_pth,
    write_safetensors,
    write_tf1,
    write_weights_h5,
)

import efficientnet
from efficientnet import weights
from efficientnet.errors import UserError
from efficientnet.weights import families

pytestmark = pytest.mark.usefixtures("tiny")


def assert_loaded(path, classes=NUM_CLASSES):
    """Asserts that the file gives the whole network, or all of it but the classifier."""
    found = weights.load_pretrained(str(path))
    assert found.num_classes == classes
    expected = leaves()
    if not classes:
        expected = {path: a for path, a in expected.items() if path[1] != "predictions"}
    for (collection, layer, leaf), array in expected.items():
        np.testing.assert_array_equal(getattr(found, collection)[layer][leaf], array)
    assert sum(map(len, (*found.params.values(), *found.batch_stats.values()))) == len(expected)
    return found


PREFIXES = (
    "module.",
    "model.",
    "_orig_mod.",
    "net.",
    "backbone.",
    "student.",
    "_orig_mod.module.model.",
    "module.module.",
    "encoder.features_of.",
    "0.",
)


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("write", [write_pth, write_old_pth, write_safetensors])
def test_what_wrappers_put_before_names_is_no_part_of_them(prefix, write, tmp_path):
    arrays = foreign(families.TIMM, leaves())
    wrapped = {f"{prefix}{name}": array for name, array in arrays.items()}
    assert_loaded(write(tmp_path / "tf_efficientnet_b0", wrapped))


@pytest.mark.parametrize("family", [families.LUKEMELAS, families.TORCHVISION])
@pytest.mark.parametrize("prefix", ["module.", "model.net."])
def test_every_family_may_be_wrapped(family, prefix, tmp_path):
    wrapped = {f"{prefix}{name}": array for name, array in foreign(family, leaves()).items()}
    assert_loaded(write_safetensors(tmp_path / "x", wrapped))


@pytest.mark.parametrize(
    "keys",
    [("state_dict",), ("model_state_dict",), ("my weights",), ("a", "b", "c"), ("model", "ema")],
)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_state_dict_lies_under_any_key_beside_an_optimizer(keys, prefix, tmp_path):
    arrays = foreign(families.LUKEMELAS, leaves())
    content = {f"{prefix}{name}": array for name, array in arrays.items()}
    for key in reversed(keys):
        content = {key: content}
    slots = {str(number): {"exp_avg": array} for number, array in enumerate(arrays.values())}
    content["optimizer"] = {"state": slots}
    assert_loaded(write_nested(tmp_path / "x.pth", content))


# What training loops keep beside the weights.
BESIDE = {
    "args": argparse.Namespace(lr=0.1, sizes=(224, 224), name=None),
    "score": np.float32(0.5),
    "best": np.float64(0.9),
    "milestones": collections.Counter([3, 3, 5]),
    "state": collections.defaultdict(dict, {1: {"step": 3}}),
    "folder": pathlib.PosixPath("runs/mine"),
    "flags": [True, 1 << 40, -1.5, "text", ()],
}


@pytest.mark.parametrize("key", BESIDE)
def test_what_a_training_keeps_beside_the_weights_is_read_past(key, tmp_path):
    arrays = foreign(families.LUKEMELAS, leaves())
    whole = Pickle()
    whole.code += b"}("
    # Without the number of the protocol and the end.
    whole.text(key).code += pickletools.optimize(pickle.dumps(BESIDE[key], protocol=2))[2:-1]
    whole.text("model").code += state_dict(arrays).code[2:]
    whole.code += b"u"
    assert_loaded(write_pth(tmp_path / "last.pth", arrays, whole.end()))


def test_a_state_dict_may_have_other_dicts_inside(tmp_path):
    arrays = foreign(families.LUKEMELAS, leaves())
    content = {**arrays, "optimizer": {"exp_avg": arrays["_conv_stem.weight"]}}
    assert_loaded(write_nested(tmp_path / "x.pth", content))


@pytest.mark.parametrize("name", ["ema", "model_ema", "state_dict_ema", "averaged", "swa_model"])
def test_averaged_weights_come_before_others(name, tmp_path):
    arrays = foreign(families.LUKEMELAS, leaves())
    raw = {key: array * 2 for key, array in arrays.items()}
    assert_loaded(write_nested(tmp_path / "dicts.pth", {"model": raw, name: arrays}))
    flat = {f"model.{key}": array for key, array in raw.items()}
    flat |= {f"{name}.module.{key}": array for key, array in arrays.items()}
    assert_loaded(write_safetensors(tmp_path / "flat", flat))
    flat = raw | {f"{name}.{key}": array for key, array in arrays.items()}
    assert_loaded(write_safetensors(tmp_path / "on_top", flat))


@pytest.mark.parametrize(
    ("first", "second"),
    [("student.", "teacher."), ("a.module.", "b.module."), ("", "copy."), ("ema.", "ema_old.")],
)
def test_two_networks_are_named(first, second, tmp_path):
    arrays = foreign(families.LUKEMELAS, leaves())
    both = {f"{place}{name}": a for place in (first, second) for name, a in arrays.items()}
    path = write_safetensors(tmp_path / "x", both)
    names = " and ".join(place.rstrip(".") or "the top" for place in sorted((first, second)))
    with pytest.raises(UserError, match=f"holds 2 networks, at {names}: save"):
        weights.load_pretrained(str(path))


def without(family, arrays):
    """The arrays without the classifier."""
    head = {"_fc", "classifier", "classifier.1", "head/dense", "predictions"}
    return {
        name: array
        for name, array in arrays.items()
        if name.rpartition(family.separator)[0] not in head
    }


def write_any(family, folder, arrays):
    folder.mkdir(exist_ok=True)
    if family is families.TF1:
        return write_tf1(folder / "tf1", arrays)
    if family is families.KERAS:
        return write_h5(folder / "notop.h5", arrays)
    return write_safetensors(folder / "tf_efficientnet_b0", arrays)


HEADS = (
    (families.LUKEMELAS, ("_fc.0.weight", "head.bias", "classifier.weight")),
    (families.TIMM, ("fc.weight", "head.0.running_mean", "classifier.1.bias")),
    (families.TORCHVISION, ("classifier.weight", "classifier.1.1.weight", "fc.bias")),
    (families.KERAS, ("pred/kernel", "batch_normalization/gamma", "dense_7/bias")),
)


@pytest.mark.parametrize(
    "family", [*(family for family, _ in HEADS), families.TF1], ids=lambda one: one.title
)
def test_only_the_classifier_may_be_missing(family, tmp_path, caplog):
    arrays = without(family, foreign(family, leaves()))
    with caplog.at_level(logging.INFO):
        found = assert_loaded(write_any(family, tmp_path, arrays), classes=0)
    assert "without its classifier, 2 not in the file (params/predictions" in caplog.text
    new = weights.adapt(found, 7)
    assert not new.params["predictions"]["kernel"].any()
    assert new.params["predictions"]["kernel"].shape == (128, 7)
    with pytest.raises(UserError, match="has no classifier of an EfficientNet: fine-tune it"):
        efficientnet.load(str(write_any(family, tmp_path / "again", arrays)))


@pytest.mark.parametrize(("family", "names"), HEADS, ids=lambda one: getattr(one, "title", ""))
@pytest.mark.parametrize("keep", [False, True])
def test_the_classifier_may_be_another(family, names, keep, tmp_path):
    arrays = foreign(family, leaves())
    arrays = arrays if keep else without(family, arrays)
    arrays |= {name: np.ones((3, 4)[: 1 + name.endswith(("t", "l"))], "f4") for name in names}
    assert_loaded(write_any(family, tmp_path, arrays), classes=0)


def test_the_classifier_may_have_another_shape(tmp_path):
    arrays = foreign(families.TIMM, leaves())
    arrays["classifier.weight"] = np.ones((NUM_CLASSES, 64), np.float32)
    assert_loaded(write_safetensors(tmp_path / "tf_efficientnet_b0", arrays), classes=0)


def test_an_own_file_without_a_classifier_stays_one(tmp_path):
    arrays = without(families.TIMM, foreign(families.TIMM, leaves()))
    found = weights.load_pretrained(str(write_any(families.TIMM, tmp_path, arrays)))
    weights.save(found, tmp_path / "own.safetensors")
    assert_loaded(tmp_path / "own.safetensors", classes=0)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("blocks.9.0.bn1.weight", (3,)),  # of the backbone, by its name
        ("blocks.0.0.lora.weight", (3, 3)),
        ("conv_stem.bias", (8,)),
        ("aux.conv.weight", (3, 3, 1, 1)),  # a convolution, by its shape
    ],
)
def test_more_than_a_classifier_is_refused(name, shape, tmp_path):
    arrays = foreign(families.TIMM, leaves()) | {name: np.ones(shape, np.float32)}
    path = write_safetensors(tmp_path / "tf_efficientnet_b0", arrays)
    with pytest.raises(UserError, match=rf"1 not in the network \({name}\)"):
        weights.load_pretrained(str(path))


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(
    "below", ["layers/functional/layers", "functional/layers", "backbone/layers", "layers"]
)
def test_a_keras_network_lies_in_another_model(named, below, tmp_path):
    path = tmp_path / "x.weights.h5"
    write_weights_h5(path, named, below, dense="pred" if below == "layers" else "")
    with h5py.File(path, "a") as file:
        file["layers/head/vars/0"] = np.ones((3, 4), np.float32)
        file["layers/batch_normalization_99/vars/2"] = np.ones(3, np.float32)
        file["layers/random_flip/seed_generator/vars/0"] = np.ones(2, np.uint32)
    found = assert_loaded(path, classes=0)
    np.testing.assert_allclose(found.preprocessing.mean, [102, 127.5, 153], rtol=1e-6)


def test_two_keras_networks_are_named(tmp_path):
    path = tmp_path / "x.weights.h5"
    write_weights_h5(path, below="layers/left/layers")
    with h5py.File(path, "a") as file:
        file.copy("layers/left", "layers/right")
    with pytest.raises(
        UserError, match=r"holds 2 networks, at layers/left/layers and layers/right/layers: save"
    ):
        weights.load_pretrained(str(path))


def test_layers_of_the_same_name_around_a_keras_network_are_told_apart(tmp_path):
    path = write_h5(tmp_path / "x.h5", foreign(families.KERAS, leaves()))
    with h5py.File(path, "a") as file:
        file["outer/predictions/kernel:0"] = np.ones((5, 2), np.float32)
        file["outer/predictions/bias:0"] = np.ones(2, np.float32)
    assert_loaded(path, classes=0)


@pytest.mark.parametrize("form", WRITERS)
def test_a_whole_network_stays_whole(form, tmp_path):
    assert_loaded(WRITERS[form](tmp_path))

import errno
import io
import zipfile

import numpy as np
import pytest
from checkpoint_files import (
    NUM_CLASSES,
    WRITERS,
    Pickle,
    foreign,
    leaves,
    nested,
    state_dict,
    write_old_pth,
    write_pth,
    write_safetensors,
    write_tf1,
)

from efficientnet import weights
from efficientnet.errors import UserError
from efficientnet.weights import families, load

pytestmark = pytest.mark.usefixtures("tiny")

with io.BytesIO() as stream:
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("photos/readme.txt", "")
    ANY_ZIP = stream.getvalue()


def flat(pretrained):
    return {
        (collection, layer, leaf): array
        for collection in ("params", "batch_stats")
        for layer, arrays in getattr(pretrained, collection).items()
        for leaf, array in arrays.items()
    }


def assert_whole(pretrained):
    expected = leaves()
    found = flat(pretrained)
    assert found.keys() == expected.keys()
    for path, array in expected.items():
        np.testing.assert_array_equal(found[path], array, err_msg=str(path))
    assert (pretrained.variant, pretrained.num_classes) == ("tiny", NUM_CLASSES)


@pytest.mark.parametrize("form", WRITERS)
def test_every_format_loads_exactly(form, tmp_path):
    pretrained = weights.load_pretrained(str(WRITERS[form](tmp_path)))
    assert_whole(pretrained)
    assert pretrained.ema == form.startswith("tf1")


@pytest.mark.parametrize("form", WRITERS)
def test_own_file_keeps_everything(form, tmp_path):
    first = weights.load_pretrained(str(WRITERS[form](tmp_path)))
    (tmp_path / "again.safetensors.unfinished").write_text("another's")
    before = set(tmp_path.iterdir())
    weights.save(first, tmp_path / "again.safetensors")
    again = weights.load_pretrained(str(tmp_path / "again.safetensors"))
    assert_whole(again)
    for name in ("variant", "family", "preprocessing", "padding", "bn_epsilon", "source", "ema"):
        assert getattr(again, name) == getattr(first, name)
    assert set(tmp_path.iterdir()) - before == {tmp_path / "again.safetensors"}
    assert (tmp_path / "again.safetensors.unfinished").read_text() == "another's"


def test_arrays_of_an_own_file_are_views_of_what_was_read(tmp_path):
    pretrained = weights.load_pretrained(str(WRITERS["own"](tmp_path)))
    assert not any(array.flags.owndata for array in flat(pretrained).values())


def test_conventions_come_with_the_weights(tmp_path):
    arrays = foreign(families.TIMM, leaves())
    found = {}
    for name in (
        "tf_efficientnet_b0_ns",
        "tf_efficientnet_b0_ap",
        "efficientnet_b0_ra",
        "efficientnet_b0.ra4_e3600_r224_in1k",
    ):
        path = write_safetensors(tmp_path / f"{name}.safetensors", arrays)
        pretrained = weights.load_pretrained(str(path))
        found[name] = (
            pretrained.padding,
            pretrained.bn_epsilon,
            round(pretrained.preprocessing.mean[0], 3),
        )
    assert list(found.values()) == [
        ("same", 1e-3, 123.675),
        ("same", 1e-3, 127.5),
        ("symmetric", 1e-5, 123.675),
        ("symmetric", 1e-5, 127.5),
    ]
    torchvision = weights.load_pretrained(str(WRITERS["torchvision"](tmp_path)))
    assert (torchvision.padding, torchvision.bn_epsilon) == ("symmetric", 1e-5)
    adversarial = write_tf1(
        tmp_path / "advprop" / "efficientnet-b0", foreign(families.TF1, leaves())
    )
    assert weights.load_pretrained(str(adversarial)).preprocessing.std == (127.5,) * 3


def test_keras_normalization_layer(tmp_path):
    published = weights.load_pretrained(str(WRITERS["keras-h5"](tmp_path))).preprocessing
    np.testing.assert_allclose(published.std, 255 * np.array([0.229, 0.224, 0.225]), rtol=1e-6)
    adapted = weights.load_pretrained(str(WRITERS["keras-archive"](tmp_path))).preprocessing
    np.testing.assert_allclose(adapted.mean, [102, 127.5, 153], rtol=1e-6)
    np.testing.assert_allclose(adapted.std, [51, 76.5, 102], rtol=1e-6)


def test_timm_names_without_a_model_s_name_are_ambiguous(tmp_path):
    path = write_safetensors(tmp_path / "model.safetensors", foreign(families.TIMM, leaves()))
    with pytest.raises(UserError, match="mean two networks: rename"):
        weights.load_pretrained(str(path))
    config = '{"architecture": "tf_efficientnet_b0", "pretrained_cfg": {"tag": "ap_in1k"}}'
    (tmp_path / "config.json").write_text(config)
    assert weights.load_pretrained(str(path)).preprocessing.mean == (127.5,) * 3


def test_raw_variables_where_there_are_no_averages(tmp_path):
    import tensorflow as tf

    arrays = foreign(families.TF1, leaves())
    names = [f"efficientnet-b0/{name}" for name in arrays]
    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "model.ckpt"),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tf.constant(array) for array in arrays.values()],
    )
    pretrained = weights.load_pretrained(str(tmp_path / "model.ckpt"))
    assert_whole(pretrained)
    assert not pretrained.ema


def test_leftovers_are_listed_on_both_sides(tmp_path):
    arrays = foreign(families.LUKEMELAS, leaves())
    del arrays["_conv_head.weight"]
    arrays["_blocks.9._bn0.weight"] = np.ones(3, np.float32)
    arrays["_bn1.weight"] = np.ones(3, np.float32)
    with pytest.raises(UserError) as error:
        weights.load_pretrained(str(write_pth(tmp_path / "x.pth", arrays)))
    assert "1 not in the file (params/top_conv/kernel)" in str(error.value)
    assert "1 not in the network (_blocks.9._bn0.weight)" in str(error.value)
    assert "1 of another shape (_bn1.weight [3] instead of [128])" in str(error.value)


def test_values_of_no_trained_network_are_refused(tmp_path):
    for name, value in (("_bn1.running_var", -1.0), ("_fc.bias", np.nan)):
        arrays = foreign(families.LUKEMELAS, leaves())
        arrays[name][0] = value
        with pytest.raises(UserError, match=f"{name} has impossible values"):
            weights.load_pretrained(str(write_pth(tmp_path / "x.pth", arrays)))


@pytest.mark.parametrize("write", [write_pth, write_old_pth])
def test_pickle_that_asks_for_code_is_refused_by_name(write, tmp_path, monkeypatch):
    import checkpoint_files

    evil = Pickle().name("posix", "system")
    evil.code += b"("
    evil.text(f"touch {tmp_path}/ran").code += b"tR"
    monkeypatch.setattr(checkpoint_files, "state_dict", lambda arrays: evil)
    path = write(tmp_path / "x.pth", {})
    with pytest.raises(UserError, match=r"asks for 'posix.system': refused"):
        weights.load_pretrained(str(path))
    assert not (tmp_path / "ran").exists()


def test_digest_in_the_name_and_beside_the_file(tmp_path):
    path = WRITERS["lukemelas-old"](tmp_path)
    wrong = path.rename(tmp_path / "efficientnet-b0-355c32eb.pth")
    with pytest.raises(UserError, match="is not the file that its name says"):
        weights.load_pretrained(str(wrong))
    path = wrong.rename(tmp_path / "b0-20240131.pth")  # a date
    assert_whole(weights.load_pretrained(str(path)))
    path.with_name(path.name + ".sha256").write_text("0" * 64 + f"  {path.name}\n")
    with pytest.raises(UserError, match=r"is not the file that b0-20240131.pth.sha256 says"):
        weights.load_pretrained(str(path))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.pth", b"", r"empty\.pth is empty: fetch it again"),
        ("lfs.h5", b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        ("late.h5", b"\x89HDF\r\n\x1a\n\x02" + bytes(90), "written in a way not known here"),
        ("any.zip", ANY_ZIP, "is a zip archive of neither PyTorch nor Keras: unpack it"),
        ("x.pth", b"\x80\x02}.", "is a pickle but not a PyTorch file"),
        ("x.safetensors", (2).to_bytes(8, "little") + b"{}", "holds no weights: save it again"),
        ("text.pth", b"hello", "no format known"),
        ("x.h5", b"\x89HDF\r\n\x1a\n" + bytes(90), "damaged"),
    ],
)
def test_other_files_are_refused(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        weights.load_pretrained(str(tmp_path / name))


def test_unknown_words_and_places():
    with pytest.raises(UserError, match="no weights are called 'noisy'"):
        weights.load_pretrained("noisy")
    with pytest.raises(UserError, match="no checkpoint at /nowhere/b0"):
        weights.load_pretrained("/nowhere/b0")
    with pytest.raises(UserError, match=r"no imagenet weights for 'b7'"):
        weights.load_pretrained("imagenet", "b7")
    with pytest.raises(UserError, match="need a variant"):
        weights.load_pretrained("advprop")


def test_a_footer_that_points_elsewhere_is_an_error_or_harmless(tmp_path):
    index = WRITERS["tf1"](tmp_path) / "model.ckpt.index"
    content = index.read_bytes()
    refused = 0
    for place in range(1, 49):
        damaged = bytearray(content)
        damaged[-place] ^= 0x80 if place % 2 else 0x04
        index.unlink()
        index.write_bytes(damaged)
        try:
            assert_whole(weights.load_pretrained(str(tmp_path / "tf1")))
        except UserError:
            refused += 1
    assert refused > 8  # at least for the magic number


def test_averaged_weights_of_a_training_checkpoint_come_first(tmp_path):
    arrays = foreign(families.LUKEMELAS, leaves())
    averaged = {f"module.{name}": array for name, array in arrays.items()}
    pickle = Pickle()
    pickle.code += b"}("
    for key, content in (("state_dict", {"junk": np.ones(1, "f4")}), ("state_dict_ema", averaged)):
        pickle.text(key).code += state_dict(content).code[len(Pickle().code) :]
    pickle.code += b"u"
    path = write_pth(tmp_path / "checkpoint.pth", arrays, pickle.end())
    assert_whole(weights.load_pretrained(str(path)))


def test_what_a_pickle_holds_is_said(tmp_path):
    for content in (
        Pickle().number(3),
        nested({"epoch": {}}),
        Pickle().tensor(np.ones(1, "f4"), "0"),
    ):
        path = write_pth(tmp_path / "x.pth", {"0": np.ones(1, "f4")}, content.end())
        with pytest.raises(UserError, match="holds no tensors with names: expected a state_dict"):
            weights.load_pretrained(str(path))


def test_a_file_that_can_not_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    path = WRITERS["timm"](tmp_path)

    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(load, "open_checkpoint", refuse)
    with pytest.raises(UserError, match=r"can't be read \(Permission denied\): check its perm"):
        weights.load_pretrained(str(path))


def test_a_folder_says_what_it_holds(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match="holds no checkpoint: expected one file ending in"):
        weights.load_pretrained(str(tmp_path))
    path = write_pth(tmp_path / "last.ckpt", foreign(families.LUKEMELAS, leaves()))
    assert_whole(weights.load_pretrained(str(tmp_path)))
    path.rename(tmp_path / "first.ckpt")
    path.write_bytes(b"")
    with pytest.raises(UserError, match=r"one checkpoint and holds first.ckpt, last.ckpt: name"):
        weights.load_pretrained(str(tmp_path))

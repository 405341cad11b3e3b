import json
import os
import pathlib
import subprocess
import sys

import hub_fixture
import hub_server
import numpy as np
import pytest
import safetensors.numpy
from checkpoint_files import NUM_CLASSES, foreign, leaves, write_pth

from efficientnet import hub, weights
from efficientnet.errors import UserError
from efficientnet.weights import download, families, load, repository

CARD = b"---\nlicense: apache-2.0\n---\n# A model\n"
CHECKOUT = pathlib.Path(__file__).parents[2]
NAME = "timm/tf_efficientnet_b0.ns_jft_in1k"


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("EFFICIENTNET_CACHE", str(tmp_path / "cache"))
    with hub_fixture.hub_in(tmp_path / "hf") as server:
        yield server


def timm_config(architecture="tf_efficientnet_b0", **pretrained):
    settings = {
        "tag": "ns_jft_in1k",
        "input_size": [3, 48, 48],
        "interpolation": "bicubic",
        "crop_pct": 0.9,
        "mean": [0.4, 0.5, 0.6],
        "std": [0.1, 0.2, 0.3],
        **pretrained,
    }
    # As timm's save_for_hf writes it.
    arguments = {"num_classes": NUM_CLASSES, "in_chans": 3, "global_pool": "avg"}
    config = {"architecture": architecture, "global_pool": "avg", "model_args": arguments}
    return json.dumps({**config, "pretrained_cfg": settings}).encode()


def tensors(family=families.TIMM):
    return safetensors.numpy.save(foreign(family, leaves()))


def timm_files(**pretrained):
    return {
        "README.md": CARD,
        "config.json": timm_config(**pretrained),
        "model.safetensors": tensors(),
        "pytorch_model.bin": b"not looked at",
    }


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    "name", [f"hf:{NAME}", "timm:tf_efficientnet_b0", "timm:tf_efficientnet_b0_ns"]
)
def test_weights_of_timm(name, server):
    names = [f"n{number}" for number in range(NUM_CLASSES)]
    files = timm_files(label_names=names, label_descriptions={"n1": "a crane"})
    commit = server.add(NAME, files).branches["main"]
    found = weights.load_pretrained(name)
    kernel = leaves()["params", "stem_conv", "kernel"]
    np.testing.assert_array_equal(found.params["stem_conv"]["kernel"], kernel)
    assert (found.variant, found.padding, found.bn_epsilon) == ("tiny", "same", 1e-3)
    assert found.preprocessing.mean == pytest.approx((102, 127.5, 153))
    assert found.preprocessing.std == pytest.approx((25.5, 51, 76.5))
    assert (found.resolution, found.preparation) == (48, "center_crop(0.9, method='bicubic')")
    assert found.class_names == ("n0", "a crane", "n2", "n3", "n4")
    assert found.origin == f"hf:{NAME}@{commit}/model.safetensors"
    assert found.license == "apache-2.0"
    assert len(found.digest) == 64
    assert not any("pytorch_model" in path for _, path, _ in server.requests)
    server.requests.clear()
    weights.load_pretrained(found.origin)  # needs no network
    assert not server.requests


@pytest.mark.usefixtures("tiny")
def test_conventions_are_those_of_the_architecture(server):
    config = timm_config("efficientnet_b0", tag="", license="mit")
    server.add("me/mine", {"config.json": config, "model.safetensors": tensors()})
    found = weights.load_pretrained("hf:me/mine")
    assert (found.padding, found.bn_epsilon) == ("symmetric", 1e-5)
    assert found.license == "mit"


@pytest.mark.usefixtures("tiny")
def test_weights_of_transformers(server, tmp_path):
    arrays = foreign(families.TRANSFORMERS, leaves())
    inside = {
        name if name.startswith("classifier") else f"efficientnet.{name}": array
        for name, array in arrays.items()
    }
    names = {str(number): f"class of {number}" for number in reversed(range(NUM_CLASSES))}
    config = {"model_type": "efficientnet", "id2label": names, "image_size": 32}
    processor = {
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229**0.5, 0.224**0.5, 0.225**0.5],
        "rescale_factor": 1 / 255,
        "include_top": True,
        "size": {"height": 32, "width": 32},
    }
    server.add(
        "google/efficientnet-b0",
        {
            "config.json": json.dumps(config).encode(),
            "preprocessor_config.json": json.dumps(processor).encode(),
            "pytorch_model.bin": write_pth(tmp_path / "m.bin", inside).read_bytes(),
        },
    )
    found = weights.load_pretrained("hf:google/efficientnet-b0")
    kernel = leaves()["params", "predictions", "kernel"]
    np.testing.assert_array_equal(found.params["predictions"]["kernel"], kernel)
    assert (found.family, found.padding, found.bn_epsilon) == ("transformers", "same", 1e-3)
    assert found.preprocessing.std == pytest.approx((58.395, 57.12, 57.375))
    assert found.class_names[3] == "class of 3"
    assert (found.license, found.resolution) == ("", 32)


@pytest.mark.usefixtures("tiny")
def test_own_file_keeps_what_the_hub_says(server, tmp_path):
    server.add(NAME, timm_files(label_names=[f"n{number}" for number in range(NUM_CLASSES)]))
    found = weights.load_pretrained(f"hf:{NAME}")
    weights.save(found, tmp_path / "own.safetensors")
    again = weights.load_pretrained(str(tmp_path / "own.safetensors"))
    for field in ("preprocessing", "license", "resolution", "preparation", "class_names"):
        assert getattr(again, field) == getattr(found, field)
    server.add("me/mine", {"b0.safetensors": (tmp_path / "own.safetensors").read_bytes()})
    assert weights.load_pretrained("hf:me/mine").preprocessing == found.preprocessing


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"architecture": "resnet50"}, "hf:a/b is a resnet50: expected an EfficientNet"),
        ({"architecture": "tf_efficientnetv2_s"}, "hf:a/b is a tf_efficientnetv2_s: expected"),
        ({"model_type": "vit"}, "hf:a/b is a vit: expected"),
        (
            {"architecture": "efficientnet_b3"},
            "is of the variant b3, not b0: set the variant to b3",
        ),
        ({"architecture": "efficientnet_b0", "model_args": {"act_layer": "relu"}}, "act_layer"),
        ({"architecture": "efficientnet_b0", "global_pool": "max"}, "another global_pool"),
        ({"model_type": "efficientnet", "batch_norm_eps": 1e-5}, "another batch_norm_eps"),
        ({"architecture": "efficientnet_b0", "pretrained_cfg": {"std": [0], "mean": [1]}}, "std"),
        ([], "is no JSON object"),
    ],
)
def test_networks_that_are_not_ours_are_not_downloaded(config, sentence, server):
    files = {"config.json": json.dumps(config).encode(), "model.safetensors": tensors()}
    server.add("a/b", files)
    with pytest.raises(UserError, match=sentence.replace("std", "standard deviation")):
        weights.load_pretrained("hf:a/b", "b0")
    assert not any("model.safetensors" in path for _, path, _ in server.requests)


@pytest.mark.usefixtures("tiny")
def test_other_configs_beside_weights_on_a_disk_say_nothing(tmp_path):
    path = tmp_path / "tf_efficientnet_b0.safetensors"
    path.write_bytes(tensors())
    for content in ({"model_type": "whatever"}, {"architecture": ["mine"]}, {"weights": "b0"}):
        (tmp_path / "config.json").write_text(json.dumps(content))
        assert weights.load_pretrained(str(path)).resolution is None
    (tmp_path / "config.json").write_bytes(timm_config())
    assert weights.load_pretrained(str(path)).resolution == 48


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("hf:nobody/nothing", "knows no model nobody/nothing, or shows it to some accounts only"),
        ("hf:a/private", "knows no model a/private, or shows it to some accounts only"),
        ("hf:a/gated", r"a/gated is gated: accept its terms at .*/a/gated and log in"),
        ("hf:a/open@v2", "a/open has no revision 'v2'"),
        ("hf:a/open", r"hf:a/open has no weights: .* it holds README.md, train.py"),
        ("hf:a/open/x.pth", "a/open has no file x.pth: it holds README.md"),
        (
            "hf:a/several",
            r"several files of weights, 1.pth, 2.pth: say which, as in hf:a/several/1",
        ),
        ("hf:nothing", "'hf:nothing' names no model"),
        ("timm:resnet50", "timm has no weights for 'resnet50': expected a name with its tag"),
        ("keras:b3", "keras:b3 is of the variant b3, not b0"),
        ("torchvision:b8", "there are no torchvision weights for 'b8': expected one of b0"),
    ],
)
def test_what_can_not_be_had(name, sentence, server):
    server.add("a/open", {"README.md": CARD, "train.py": b""})
    server.add("a/several", {"1.pth": b"1", "2.pth": b"2"})
    server.add("a/private", timm_files()).private = True
    server.add("a/gated", timm_files()).gated = True
    variant = None if "b8" in name else "b0"
    with pytest.raises(UserError, match=sentence):
        weights.load_pretrained(name, variant)


@pytest.mark.usefixtures("tiny")
def test_token(server, monkeypatch):
    server.add(NAME, timm_files()).private = True
    monkeypatch.setenv("HF_TOKEN", hub_server.TOKEN)
    assert weights.load_pretrained(f"hf:{NAME}").variant == "tiny"
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(UserError, match=r"refuses access to the model a/b \(401\): log in"):
        weights.load_pretrained("hf:a/b")


@pytest.mark.usefixtures("tiny")
def test_connection_that_breaks_off_is_resumed(server, monkeypatch):
    monkeypatch.setattr(hub_fixture.constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    server.add(NAME, timm_files())
    server.breaks = 2
    assert weights.load_pretrained(f"hf:{NAME}").variant == "tiny"
    ranges = [asked for method, path, asked in server.requests if "/content/" in path]
    assert ranges[0] is None
    assert all(int(asked.removeprefix("bytes=").rstrip("-")) > 0 for asked in ranges[1:])
    assert len(ranges) == 3


@pytest.mark.usefixtures("tiny")
def test_without_a_network(server, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    server.add(NAME, timm_files())
    weights.load_pretrained(f"hf:{NAME}")
    server.down = True
    assert weights.load_pretrained(f"hf:{NAME}").variant == "tiny"
    with pytest.raises(UserError, match=r"the model a/b can't be downloaded from http.* \(.*503"):
        weights.load_pretrained("hf:a/b")
    monkeypatch.setattr(hub_fixture.constants, "HF_HUB_OFFLINE", True)
    assert weights.load_pretrained(f"hf:{NAME}").variant == "tiny"
    with pytest.raises(UserError, match=r"a/b is not in the cache .*, and HF_HUB_OFFLINE is set"):
        weights.load_pretrained("hf:a/b")


@pytest.mark.usefixtures("tiny")
def test_what_another_program_has_downloaded(server, monkeypatch):
    server.add(NAME, timm_files())
    for name in ("config.json", "model.safetensors"):  # as timm does
        hub_fixture.huggingface_hub.hf_hub_download(NAME, name)
    monkeypatch.setattr(hub_fixture.constants, "HF_HUB_OFFLINE", True)
    found = weights.load_pretrained("timm:tf_efficientnet_b0")
    assert (found.variant, found.resolution, found.license) == ("tiny", 48, "")


@pytest.mark.usefixtures("tiny")
def test_damaged_file_in_the_cache(server):
    server.add(NAME, timm_files())
    path = repository.locate(hub.parse(f"hf:{NAME}", hub.MODEL), None).path
    blob = pathlib.Path(os.path.realpath(path))
    content = bytearray(blob.read_bytes())
    content[-3] ^= 1
    blob.write_bytes(content)
    with pytest.raises(UserError, match="not the file that the Hugging Face Hub has") as error:
        weights.load_pretrained(f"hf:{NAME}")
    blob.unlink()
    assert f"remove {blob} to fetch it again" in str(error.value)
    assert weights.load_pretrained(f"hf:{NAME}").variant == "tiny"


@pytest.fixture
def entry(server, monkeypatch):
    """A published file that is not to be had, and its copy on the Hub."""
    there = f"{server.endpoint}/nowhere/b0.tar.gz"
    found = download.Download("noisy_student", "tiny", there, "Apache-2.0", f"hf:{NAME}")
    monkeypatch.setitem(download.DOWNLOADS, ("noisy_student", "tiny"), found)
    return found


@pytest.mark.usefixtures("tiny")
def test_word_falls_back_on_the_copy(entry, server, caplog):
    server.add(NAME, {"model.safetensors": tensors()})
    caplog.set_level("INFO")
    assert not load.at_hand(entry)
    found = weights.load_pretrained("noisy_student", "tiny")
    assert load.at_hand(entry)
    assert found.origin.startswith(f"hf:{NAME}@")
    assert f"{entry.url} answers 404" in caplog.text
    assert f"now trying the copy hf:{NAME}" in caplog.text
    server.requests.clear()
    assert weights.load_pretrained("noisy_student:tiny").origin == found.origin
    assert not server.requests  # what is on this machine comes first
    assert "which is on this machine" in caplog.text


@pytest.mark.usefixtures("tiny")
def test_word_without_a_copy_either(entry, monkeypatch):
    with pytest.raises(UserError, match=r"answers 404 .*; and its copy can't be had either: .*no"):
        weights.load_pretrained("noisy_student", "tiny")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(
        UserError, match=r"can't be had either: hf:timm/.* needs huggingface_hub: pip"
    ):
        weights.load_pretrained("noisy_student", "tiny")


@pytest.mark.usefixtures("tiny")
def test_keras_s_file_is_checked(server, monkeypatch):
    content = b"not the file that Keras has published"
    entry = download.Download("keras", "tiny", f"{server.endpoint}/k.h5", md5="0" * 32)
    monkeypatch.setitem(download.DOWNLOADS, ("keras", "tiny"), entry)
    entry.path.parent.mkdir(parents=True)
    entry.path.write_bytes(content)
    with pytest.raises(UserError, match=r"its MD5 is 9700e8\w+, not 0{32}; remove it"):
        weights.load_pretrained("keras:tiny")


def test_every_copy_has_a_name_of_timm():
    copies = {entry.copy.removeprefix("hf:timm/") for entry in download.DOWNLOADS.values()} - {""}
    assert len(copies) == 41
    assert {"tf_efficientnet_l2.ns_jft_in1k_475", "tf_efficientnet_b8.ap_in1k"} < copies


@pytest.mark.slow
def test_environment_variables_of_a_command(server, tmp_path):
    """A mirror, a home and a token, as huggingface_hub itself reads them."""
    server.add(
        "a/b", {"config.json": json.dumps({"architecture": "resnet50"}).encode()}
    ).private = True
    command = [sys.executable, "-m", "efficientnet.commands.convert_weights", "hf:a/b"]
    command.append(f"--output={tmp_path / 'x.safetensors'}")
    for token, sentence in ((None, "knows no model a/b"), (hub_server.TOKEN, "is a resnet50")):
        with pytest.MonkeyPatch.context() as patch:
            if token:
                patch.setenv("HF_TOKEN", token)
            result = subprocess.run(
                command, capture_output=True, text=True, check=False, cwd=CHECKOUT
            )
        assert result.returncode == 1
        assert sentence in result.stderr.splitlines()[-1]
    assert (tmp_path / "hf" / "hub" / "models--a--b").is_dir()

"""Writes checkpoints of every format as the frameworks write them, without the frameworks."""

import gzip
import io
import json
import pathlib
import struct
import tarfile
import zipfile
from collections.abc import Callable

import h5py
import numpy as np
import safetensors.numpy
from trees import leaf_shapes

from efficientnet import weights
from efficientnet.network import architecture
from efficientnet.network.variants import Variant
from efficientnet.weights import families, naming

TINY = Variant(width=0.1, depth=0.1, resolution=32, dropout=0.2)
NUM_CLASSES = 5
Arrays = dict[str, np.ndarray]


def leaves(seed: int = 0) -> dict[architecture.LeafPath, np.ndarray]:
    """Random leaves of the tiny network."""
    rng = np.random.default_rng(seed)
    return {
        path: rng.uniform(0.1, 1, shape).astype(np.float32)
        for path, shape in leaf_shapes(TINY, NUM_CLASSES).items()
    }


def foreign(family: naming.Family, ours: dict[architecture.LeafPath, np.ndarray]) -> Arrays:
    """The leaves by the names and with the axes of a family."""
    arrays = {}
    for name, entry in family.entries(architecture.layers(TINY, NUM_CLASSES)).items():
        array = ours[entry.leaf]
        if entry.transform.axes is not None:
            array = array.transpose(np.argsort(entry.transform.axes))
        arrays[name] = np.ascontiguousarray(array)
        assert arrays[name].shape == entry.shape
    return arrays


class Pickle:
    """Writes a pickle instruction by instruction (protocol 2)."""

    def __init__(self) -> None:
        self.code = bytearray(b"\x80\x02")

    def text(self, text: str) -> "Pickle":
        encoded = text.encode()
        self.code += b"X" + struct.pack("<I", len(encoded)) + encoded
        return self

    def number(self, number: int) -> "Pickle":
        self.code += b"\x8a\x0a" + number.to_bytes(10, "little", signed=True)
        return self

    def numbers(self, numbers: tuple[int, ...]) -> "Pickle":
        self.code += b"("
        for number in numbers:
            self.number(number)
        self.code += b"t"
        return self

    def name(self, module: str, name: str) -> "Pickle":
        self.code += b"c" + f"{module}\n{name}\n".encode()
        return self

    def tensor(self, array: np.ndarray, key: str) -> "Pickle":
        self.name("torch._utils", "_rebuild_tensor_v2").code += b"(("
        self.text("storage").name("torch", "FloatStorage").text(key).text("cpu")
        self.number(array.size).code += b"tQ"
        strides = tuple(stride // array.itemsize for stride in array.strides)
        self.number(0).numbers(array.shape).numbers(strides).code += b"\x89"
        self.name("collections", "OrderedDict").code += b")RtR"
        return self

    def end(self) -> bytes:
        return bytes(self.code + b".")


def state_dict(arrays: Arrays) -> Pickle:
    pickle = Pickle()
    pickle.code += b"}("
    for key, (name, array) in enumerate(arrays.items()):
        pickle.text(name).tensor(array, str(key))
    pickle.code += b"u"
    return pickle


def nested(dicts: dict) -> Pickle:
    """Dicts of arrays in one another; arrays are numbered over all, as `write_pth` stores them."""
    pickle, count = Pickle(), 0

    def add(content: dict) -> None:
        nonlocal count
        pickle.code += b"}("
        for key, value in content.items():
            pickle.text(key)
            if isinstance(value, dict):
                add(value)
            else:
                pickle.tensor(value, str(count))
                count += 1
        pickle.code += b"u"

    add(dicts)
    return pickle


def write_nested(path: pathlib.Path, dicts: dict) -> pathlib.Path:
    """A `.pth` of dicts of arrays in one another."""

    def arrays(content: dict) -> list[np.ndarray]:
        return [
            array
            for value in content.values()
            for array in (arrays(value) if isinstance(value, dict) else [value])
        ]

    numbered = {str(key): array for key, array in enumerate(arrays(dicts))}
    return write_pth(path, numbered, nested(dicts).end())


def write_pth(path: pathlib.Path, arrays: Arrays, pickle: bytes | None = None) -> pathlib.Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle or state_dict(arrays).end())
        archive.writestr("archive/byteorder", "little")
        for key, array in enumerate(arrays.values()):
            archive.writestr(f"archive/data/{key}", array.tobytes())
    return path


def write_old_pth(path: pathlib.Path, arrays: Arrays) -> pathlib.Path:
    magic = Pickle().number(0x1950A86A20F9469CFC6C).end()
    system = Pickle()
    system.code += b"}"
    system.text("little_endian").code += b"\x88s"
    keys = Pickle()
    keys.code += b"]("
    for key in range(len(arrays)):
        keys.text(str(key))
    keys.code += b"e"
    content = magic + Pickle().number(1001).end() + system.end()
    content += state_dict(arrays).end() + keys.end()
    for array in arrays.values():
        content += array.size.to_bytes(8, "little") + array.tobytes()
    path.write_bytes(content)
    return path


def write_safetensors(path: pathlib.Path, arrays: Arrays) -> pathlib.Path:
    safetensors.numpy.save_file(arrays, path)
    return path


def write_tf1(folder: pathlib.Path, arrays: Arrays) -> pathlib.Path:
    """With raw variables that are no use, their moving averages, and a step counter."""
    import tensorflow as tf

    folder.mkdir(parents=True, exist_ok=True)
    variables = {"global_step": np.int64(7)}
    for name, array in arrays.items():
        variables[f"efficientnet-b0/{name}"] = array * 2
        variables[f"efficientnet-b0/{name}/ExponentialMovingAverage"] = array
    names = sorted(variables)
    tf.raw_ops.SaveV2(
        prefix=str(folder / "model.ckpt"),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tf.constant(variables[name]) for name in names],
    )
    (folder / "checkpoint").write_text('model_checkpoint_path: "/elsewhere/model.ckpt"\n')
    return folder


def write_tar(path: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        archive.add(folder, arcname="efficientnet-b0")
    return path


def hostile_tar(path: pathlib.Path, name: str, kind: bytes = tarfile.REGTYPE) -> pathlib.Path:
    with gzip.open(path, "wb") as stream, tarfile.open(fileobj=stream, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.size = kind, "/etc/passwd", 4
        if kind != tarfile.REGTYPE:
            member.size = 0
        archive.addfile(member, io.BytesIO(b"evil"))
    return path


def write_h5(path: pathlib.Path, arrays: Arrays) -> pathlib.Path:
    """Keras 2: layer/layer/variable:0."""
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            layer, variable = name.split("/")
            if layer.endswith("_dwconv"):
                variable = "depthwise_kernel"
            file[f"{layer}/{layer}/{variable}:0"] = array
            file[layer].attrs["weight_names"] = np.array([b"something"])
        file["normalization/normalization/mean:0"] = np.float32([0.485, 0.456, 0.406])
        file["normalization/normalization/variance:0"] = np.float32([0.229, 0.224, 0.225])
        file["normalization/normalization/count:0"] = np.int64(0)
    return path


def write_weights_h5(
    target: pathlib.Path | io.BytesIO, named: bool = True, below: str = "layers", dense: str = ""
) -> None:
    """Keras 3: layers by class and number, variables by number, names as attributes.

    The network may lie `below` another model's layers; `dense` renames its classifier.
    """
    words = {"kernel": 0, "bias": 1, "gamma": 0, "beta": 1, "moving_mean": 2, "moving_variance": 3}
    numbered = families.KERAS_NUMBERED.entries(architecture.layers(TINY, NUM_CLASSES))
    arrays = foreign(families.KERAS_NUMBERED, leaves())
    with h5py.File(target, "w") as file:
        for name, array in arrays.items():
            layer, word = name.split("/")
            layer = dense if layer == "dense" and dense else layer
            group = file.require_group(f"{below}/{layer}/vars")
            group[str(words[word])] = array
            if named:
                group.attrs["name"] = dense if layer == dense else numbered[name].leaf[1]
        file[f"{below}/normalization/vars/0"] = np.float32([0.4, 0.5, 0.6])
        file[f"{below}/normalization/vars/1"] = np.float32([0.04, 0.09, 0.16])
        file[f"{below}/normalization/vars/2"] = np.int64(0)
        file["optimizer/vars/0"] = np.int64(3)


def write_keras(path: pathlib.Path) -> pathlib.Path:
    content = io.BytesIO()
    write_weights_h5(content)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3"}))
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", content.getvalue())
    return path


def write_own(path: pathlib.Path, source: pathlib.Path) -> pathlib.Path:
    weights.save(weights.load_pretrained(str(source)), path)
    return path


Writer = Callable[[pathlib.Path], pathlib.Path]


def _weights_h5(named: bool) -> Writer:
    def write(folder: pathlib.Path) -> pathlib.Path:
        write_weights_h5(folder / "k.weights.h5", named)
        return folder / "k.weights.h5"

    return write


# One checkpoint of the tiny network for every format and family.
WRITERS: dict[str, Writer] = {
    "tf1": lambda d: write_tf1(d / "tf1", foreign(families.TF1, leaves())),
    "tf1-archive": lambda d: write_tar(
        d / "b0.tar.gz", write_tf1(d / "tf1", foreign(families.TF1, leaves()))
    ),
    "lukemelas-old": lambda d: write_old_pth(d / "b0.pth", foreign(families.LUKEMELAS, leaves())),
    "lukemelas-zip": lambda d: write_pth(d / "b0.pth", foreign(families.LUKEMELAS, leaves())),
    "torchvision": lambda d: write_pth(d / "tv.pth", foreign(families.TORCHVISION, leaves())),
    "timm": lambda d: write_safetensors(
        d / "tf_efficientnet_b0.safetensors", foreign(families.TIMM, leaves())
    ),
    "keras-h5": lambda d: write_h5(d / "k.h5", foreign(families.KERAS, leaves())),
    "keras-weights": _weights_h5(named=True),
    "keras-numbered": _weights_h5(named=False),
    "keras-archive": lambda d: write_keras(d / "k.keras"),
    "own": lambda d: write_own(
        d / "own.safetensors", write_pth(d / "b0.pth", foreign(families.LUKEMELAS, leaves()))
    ),
}

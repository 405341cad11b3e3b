"""Compares our logits and features with those of the libraries that checkpoints come from.

    pip install -e '.[oracles]'
    python benchmarks/parity.py

Each library builds its own network with random weights and random BatchNorm statistics, saves it
as its users would, and runs it on random images. We load the file and run it on the same images.
"""

import argparse
import dataclasses
import functools
import importlib.util
import os
import pathlib
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

# Keras runs on torch, or slowly on JAX; TensorFlow and torchvision don't go together.
os.environ.setdefault("KERAS_BACKEND", "torch" if importlib.util.find_spec("torch") else "jax")

import jax
import numpy as np

from efficientnet.commands import command_line
from efficientnet.errors import UserError
from efficientnet.inference.loading import load
from efficientnet.network.architecture import build
from efficientnet.network.variants import VARIANTS, Variant

LIMIT = 1e-4
PUBLISHED = "published .h5"
SHAPE = (2, 89, 74, 3)  # odd and even sides, where paddings differ
CALIBRATION_IMAGES = 8
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# The file that a library saved, and its logits and features of the images.
Answer = tuple[pathlib.Path, np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
      oracle: the library.
      model: its name for the network.
      variant: our name for it.
      form: the format it saves.
      ask: takes the model's name, the form, a folder for the file and images [N, H, W, 3] uint8.
    """

    oracle: str
    model: str
    variant: str
    form: str
    ask: Callable[[str, str, pathlib.Path, np.ndarray], Answer]


def images(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Random photos with patches of color rather than independent pixels."""
    rng = np.random.default_rng(seed)
    blotches = rng.integers(0, 256, (shape[0], shape[1] // 8 + 1, shape[2] // 8 + 1, 3))
    coarse = blotches.repeat(8, axis=1).repeat(8, axis=2)
    fine = coarse[:, : shape[1], : shape[2]] + rng.integers(-20, 21, shape)
    return np.clip(fine, 0, 255).astype(np.uint8)


def torch_answer(
    model: Any,
    parts: Callable[[Any], tuple[Any, Any]],
    mean: Sequence[float],
    std: Sequence[float],
    photos: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Randomizes a PyTorch model in place and returns its logits and features.

    BatchNorm's statistics become those of random photos, so that no activation vanishes or
    overflows, with some noise added.
    """
    import torch

    def normalized(batch: np.ndarray) -> Any:
        scaled = (batch.astype(np.float32) / 255 - np.array(mean, "f4")) / np.array(std, "f4")
        return torch.from_numpy(np.ascontiguousarray(scaled.transpose(0, 3, 1, 2)))

    torch.manual_seed(0)
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        model.eval()
        for norm in norms:
            norm.weight.normal_(1, 0.1)
            norm.bias.normal_(0, 0.1)
            norm.train()
            kept, norm.momentum = norm.momentum, 1.0
        parts(normalized(images((CALIBRATION_IMAGES, *photos.shape[1:]), seed=1)))
        for norm in norms:
            norm.momentum = kept
            # The floor avoids large rounding errors in channels that hardly vary.
            norm.running_var.add_(0.1 * norm.running_var.mean())
            noise = 0.1 * torch.randn_like(norm.running_mean)
            norm.running_mean.add_(noise * norm.running_var.sqrt())
            norm.running_var.mul_(0.8 + 0.4 * torch.rand_like(norm.running_var))
        for name, parameter in model.named_parameters():
            if name.endswith("bias") and parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
        model.eval()
        logits, features = parts(normalized(photos))
    return logits.numpy(), features.numpy()


def save_torch(model: Any, form: str, path: pathlib.Path) -> pathlib.Path:
    """Saves a state dict as .pth (zip), old .pth, or safetensors."""
    import torch

    if form == "safetensors":
        from safetensors.torch import save_file

        path = path.with_name(path.name + ".safetensors")
        save_file(model.state_dict(), path)
    else:
        path = path.with_name(path.name + ".pth")
        is_zip = form == ".pth zip"
        torch.save(model.state_dict(), path, _use_new_zipfile_serialization=is_zip)
    return path


def ask_timm(model_name: str, form: str, folder: pathlib.Path, photos: np.ndarray) -> Answer:
    """timm, by its name of the architecture, or of the architecture and the weights' tag."""
    import timm

    model = timm.create_model(model_name)
    config = model.pretrained_cfg

    def parts(batch: Any) -> tuple[Any, Any]:
        features = model.forward_head(model.forward_features(batch), pre_logits=True)
        return model.classifier(features), features

    logits, features = torch_answer(model, parts, config["mean"], config["std"], photos)
    name = f"{config['architecture']}.{config['tag']}"  # the tag tells the preprocessing
    return save_torch(model, form, folder / name), logits, features


def ask_transformers(
    model_name: str, form: str, folder: pathlib.Path, photos: np.ndarray
) -> Answer:
    """transformers, with the files that stand beside the weights on the Hugging Face Hub."""
    import torch
    import transformers

    row = VARIANTS[model_name.removeprefix("efficientnet-")]
    side = photos.shape[1]
    config = transformers.EfficientNetConfig(
        width_coefficient=row.width,
        depth_coefficient=row.depth,
        image_size=side,
        hidden_dim=row.top_filters,
        depthwise_padding=odd_blocks(row, side),
        num_labels=1000,
    )
    model = transformers.EfficientNetForImageClassification(config)
    processor = transformers.EfficientNetImageProcessor(
        size={"height": side, "width": side},
        image_mean=IMAGENET_MEAN,
        image_std=[value**0.5 for value in IMAGENET_STD],  # divided by twice
        include_top=True,
    )

    def parts(batch: Any) -> tuple[Any, Any]:
        features = model.efficientnet(batch).pooler_output
        return model.classifier(features), features

    torch_answer(model, parts, IMAGENET_MEAN, IMAGENET_STD, photos)
    batch = processor(list(photos), do_resize=False, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        logits, features = parts(batch)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder / "model.safetensors", logits.numpy(), features.numpy()


def odd_blocks(variant: Variant, side: int) -> list[int]:
    """Returns the blocks that halve an odd side, where transformers pads in another way."""
    side, found = -(-side // 2), []  # behind the stem
    for block in build(variant).blocks:
        if any(getattr(layer, "stride", 1) == 2 for layer in block.layers):
            found += [block.index] * (side % 2)
            side = -(-side // 2)
    return found


def ask_torchvision(model_name: str, form: str, folder: pathlib.Path, photos: np.ndarray) -> Answer:
    """torchvision."""
    import torchvision

    model = getattr(torchvision.models, model_name)(weights=None)

    def parts(batch: Any) -> tuple[Any, Any]:
        features = model.avgpool(model.features(batch)).flatten(1)
        return model.classifier(features), features

    logits, features = torch_answer(model, parts, IMAGENET_MEAN, IMAGENET_STD, photos)
    return save_torch(model, form, folder / model_name), logits, features


def ask_lukemelas(model_name: str, form: str, folder: pathlib.Path, photos: np.ndarray) -> Answer:
    """lukemelas' efficientnet_pytorch; names that begin with adv- are AdvProp's."""
    import efficientnet_pytorch

    architecture = model_name.removeprefix("adv-")
    size = photos.shape[1:3]  # its padding is fixed for images of one size
    model = efficientnet_pytorch.EfficientNet.from_name(architecture, image_size=size)
    half = (0.5, 0.5, 0.5)
    mean, std = (half, half) if "adv-" in model_name else (IMAGENET_MEAN, IMAGENET_STD)

    def parts(batch: Any) -> tuple[Any, Any]:
        features = model.extract_features(batch).mean(dim=(2, 3))
        return model._fc(features), features

    logits, features = torch_answer(model, parts, mean, std, photos)
    return save_torch(model, form, folder / model_name), logits, features


def ask_keras(model_name: str, form: str, folder: pathlib.Path, photos: np.ndarray) -> Answer:
    """Keras Applications; `published .h5` goes the way of its `weights='imagenet'`."""
    import keras

    keras.utils.clear_session()  # otherwise the numbering of layers continues from the last model
    keras.utils.set_random_seed(0)
    build = getattr(keras.applications, model_name)
    model = build(weights=None, input_shape=photos.shape[1:])
    rng = np.random.default_rng(0)
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    for norm in norms:
        norm.gamma.assign(rng.normal(1, 0.1, norm.gamma.shape))
        norm.beta.assign(rng.normal(0, 0.1, norm.beta.shape))
        norm.momentum = 0.0
    batch = images((CALIBRATION_IMAGES, *photos.shape[1:]), seed=1).astype(np.float32)
    if form == PUBLISHED:  # this model divides by 255; the one built around the file normalizes
        batch = (batch - 255 * np.array(IMAGENET_MEAN, "f4")) / np.array(IMAGENET_STD, "f4")
    model(batch, training=True)
    for norm in norms:
        variance = keras.ops.convert_to_numpy(norm.moving_variance)
        variance = variance + 0.1 * variance.mean()  # as in torch_answer
        norm.moving_variance.assign(variance * rng.uniform(0.8, 1.2, variance.shape))
    if form == PUBLISHED:
        # The published files have the standard deviation where the variance belongs.
        normalization = model.get_layer("normalization")
        mean, variance, _ = normalization.weights
        mean.assign(np.reshape(IMAGENET_MEAN, mean.shape))
        variance.assign(np.reshape(IMAGENET_STD, variance.shape))
        path = folder / f"{model_name.lower()}.h5"
        model.save(path)
        model = published_keras(build, path, photos.shape[1:])
    else:
        path = folder / f"{model_name}{form}"
        (model.save_weights if form == ".weights.h5" else model.save)(path)
    both = keras.Model(model.input, [model.output, model.get_layer("avg_pool").output])
    model.get_layer("predictions").activation = keras.activations.linear
    logits, features = both(photos.astype(np.float32), training=False)
    return path, keras.ops.convert_to_numpy(logits), keras.ops.convert_to_numpy(features)


def published_keras(build: Any, path: pathlib.Path, shape: tuple[int, ...]) -> Any:
    """The model that Keras builds around published weights, with our file in their place."""
    from unittest import mock

    from keras.src.applications import efficientnet as applications

    with mock.patch.object(applications.file_utils, "get_file", return_value=path):
        return build(weights="imagenet", input_shape=shape)


def cases() -> list[Case]:
    """Every comparison: all networks that an oracle has weights of, every kind of file."""
    lite = [f"lite{i}" for i in range(5)]
    b = [f"b{i}" for i in range(9)]
    ported = [(f"tf_efficientnet_{v}", v, "safetensors") for v in (*b, "l2", *lite)]
    ported += [
        ("tf_efficientnet_b0.ap_in1k", "b0", "safetensors"),
        ("tf_efficientnet_b0", "b0", ".pth zip"),
        ("tf_efficientnet_lite0", "lite0", ".pth old"),
    ]
    own = [(f"efficientnet_{v}", v, "safetensors") for v in (*b[:6], "lite0")]
    own.append(("efficientnet_b0.ra4_e3600_r224_in1k", "b0", "safetensors"))
    result = [Case("timm", model, v, form, ask_timm) for model, v, form in (*ported, *own)]
    result += [
        Case("torchvision", f"efficientnet_{v}", v, ".pth zip", ask_torchvision) for v in b[:8]
    ]
    result += [
        Case("efficientnet_pytorch", f"efficientnet-{v}", v, ".pth old", ask_lukemelas) for v in b
    ]
    result += [
        Case("transformers", f"efficientnet-{v}", v, "safetensors", ask_transformers) for v in b[:8]
    ]
    result.append(
        Case("efficientnet_pytorch", "adv-efficientnet-b0", "b0", ".pth zip", ask_lukemelas)
    )
    result += [Case("Keras", f"EfficientNet{v.upper()}", v, PUBLISHED, ask_keras) for v in b[:2]]
    result += [Case("Keras", f"EfficientNet{v.upper()}", v, ".h5", ask_keras) for v in b[:8]]
    result += [
        Case("Keras", "EfficientNetB0", "b0", form, ask_keras) for form in (".weights.h5", ".keras")
    ]
    return result


def compare(case: Case) -> dict[str, Any]:
    """Runs one comparison and returns a row of the table."""
    side = VARIANTS[case.variant].resolution
    # transformers, and Keras for its published weights, allow no other.
    fixed = case.form == PUBLISHED or case.oracle == "transformers"
    photos = images((1, side, side, 3) if fixed else SHAPE, seed=2)
    with tempfile.TemporaryDirectory() as folder:
        path, logits, features = case.ask(case.model, case.form, pathlib.Path(folder), photos)
        network = load(str(path))
    run = jax.jit(functools.partial(network.module.apply, mutable=["intermediates"]))
    ours, collections = run(network.variables, network.preprocess(photos))
    pooled = np.mean(collections["intermediates"]["top"][0], axis=(1, 2))
    return {
        "oracle": case.oracle,
        "model": case.model,
        "form": case.form,
        "variant": case.variant,
        "logits": float(np.abs(np.asarray(ours) - logits).max()),
        "features": float(np.abs(pooled - features).max()),
        "largest_logit": float(np.abs(logits).max()),
    }


def main(arguments: Sequence[str]) -> None:
    """Parses the arguments, prints the table, and fails when a difference is over the limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", default="", help="run only the rows that contain this text, such as 'Keras'"
    )
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    args = parser.parse_args(arguments)
    chosen = [c for c in cases() if args.only in f"{c.oracle} {c.model} {c.variant} {c.form}"]
    if not chosen:
        raise UserError(f"no comparison has {args.only!r} in its name")
    print("| oracle | its network | file | logits | features | largest logit |")
    print("| --- | --- | --- | --- | --- | --- |")
    rows = []
    for case in chosen:
        row = compare(case)
        rows.append(row)
        print(
            f"| {row['oracle']} | {row['model']} | {row['form']} | {row['logits']:.1e} | "
            f"{row['features']:.1e} | {row['largest_logit']:.1f} |",
            flush=True,
        )
    worst = max(max(row["logits"], row["features"]) for row in rows)
    if args.json:
        command_line.print_json({"worst": worst, "rows": rows})
    if worst > LIMIT:
        raise UserError(f"a difference of {worst:.1e} is over the limit of {LIMIT:.0e}")


if __name__ == "__main__":
    sys.exit(command_line.run(main))

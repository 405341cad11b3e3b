"""What the network must do for weights of a family to mean what they meant where they come from."""

import contextlib
import dataclasses
import json
import re

import numpy as np
from etils import epath

from efficientnet.errors import UserError
from efficientnet.paths import is_in_bucket
from efficientnet.weights.dialects import Dialect
from efficientnet.weights.naming import KERAS, KERAS_NUMBERED, TIMM, TORCHVISION

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of the colors from 0 to 1
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """`(x - mean) / std` for each color of an image on the scale from 0 to 255."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


MEAN_STD = Preprocessing(
    tuple(255 * value for value in IMAGENET_MEAN), tuple(255 * value for value in IMAGENET_STD)
)
PLUS_MINUS_ONE = Preprocessing((127.5,) * 3, (127.5,) * 3)  # 2x/255 - 1
LITE = Preprocessing((127.0,) * 3, (128.0,) * 3)


@dataclasses.dataclass(frozen=True)
class Conventions:
    """Preprocessing, padding and BatchNorm's epsilon."""

    preprocessing: Preprocessing
    padding: str = "same"
    bn_epsilon: float = 1e-3


def hint_of(path: epath.Path) -> str:
    """The words by which checkpoints of the same shapes are told apart, in lower case.

    These are the last names of the path and, of a folder from timm's hub, what its `config.json`
    calls the model.
    """
    whole = path if is_in_bucket(path) else path.absolute()
    words = list(whole.parts[-4:])
    config = path.parent / "config.json"
    if config.is_file():
        with contextlib.suppress(ValueError, OSError):
            content = json.loads(config.read_text("utf-8"))
            if isinstance(content, dict) and isinstance(content.get("pretrained_cfg"), dict):
                tag = content["pretrained_cfg"].get("tag", "")
                words.append(f"{content.get('architecture', '')}.{tag}")
    return "/".join(words).lower()


def conventions(dialect: Dialect, variant: str, hint: str, path: epath.Path) -> Conventions:
    """Returns what goes with a checkpoint that doesn't say so itself.

    Args:
      dialect: the checkpoint's family and names.
      variant: which network it is.
      hint: words about it, from the path or the registry.
      path: for the error.

    Raises:
      UserError: the same names and shapes mean two networks and the file's name doesn't tell which.
    """
    if dialect.family is TORCHVISION:
        return Conventions(MEAN_STD, "symmetric", 1e-3 if variant in ("b5", "b6", "b7") else 1e-5)
    if dialect.family is TIMM:
        return _timm(variant, hint, path)
    if dialect.family in (KERAS, KERAS_NUMBERED):
        return Conventions(_keras_normalization(dialect))
    if variant.startswith("lite"):
        return Conventions(LITE)
    adversarial = re.search(r"advprop|adv-efficientnet|adv_efficientnet", hint)
    return Conventions(PLUS_MINUS_ONE if adversarial else MEAN_STD)


def _timm(variant: str, hint: str, path: epath.Path) -> Conventions:
    named = re.findall(r"(?<![a-z])(tf_)?efficientnet_(?:b\d|l2|lite\d)([._a-z0-9]*)", hint)
    if not named:
        raise UserError(
            f"{path} has timm's names, which mean two networks: rename the file or its folder to "
            f"begin with tf_efficientnet_{variant} (TensorFlow's padding) or "
            f"efficientnet_{variant} (PyTorch's), as it is called in timm"
        )
    ported, rest = named[-1]
    if ported:
        centered = variant.startswith("lite") or re.match(r"[._]ap(?![a-z0-9])", rest)
        return Conventions(PLUS_MINUS_ONE if centered else MEAN_STD)
    centered = re.match(r"[._]ra4", rest)
    return Conventions(PLUS_MINUS_ONE if centered else MEAN_STD, "symmetric", 1e-5)


def _keras_normalization(dialect: Dialect) -> Preprocessing:
    """Keras Applications rescales to 0..1 and normalizes inside of the model.

    The published files keep the standard deviation where the layer has its variance, and the model
    around them makes up for it with one more rescaling.
    """
    values = {
        name.split("/")[-1]: np.asarray(tensor.read(), np.float32).reshape(-1)
        for name, tensor in dialect.normalization.items()
        if tensor.shape in ((3,), (1,), (1, 1, 1, 3), (1, 1, 1, 1))
    }
    mean = values.get("mean", values.get("0"))
    variance = values.get("variance", values.get("1"))
    if mean is None or variance is None:
        return MEAN_STD
    if not (np.isfinite(mean).all() and np.isfinite(variance).all() and (variance > 0).all()):
        raise ValueError("the normalization layer has impossible values")
    published = mean.shape == (3,) and np.allclose(variance, IMAGENET_STD, atol=1e-3)
    std = variance if published else np.sqrt(variance)
    return Preprocessing(
        tuple(float(255 * value) for value in mean), tuple(float(255 * value) for value in std)
    )

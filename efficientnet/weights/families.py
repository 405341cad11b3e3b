"""Every family of checkpoints: what it calls the layers, and the conventions of its weights.

A family is an entry of `FAMILIES` with a function that finds its conventions. Sources: the variable
names of the published checkpoints, and of the modules that write them (the TPU reference
implementation, Keras Applications, timm, torchvision, transformers and lukemelas'
efficientnet_pytorch).
"""

import logging
import re
from collections.abc import Iterable, Mapping

import numpy as np
from etils import epath

from efficientnet.errors import UserError
from efficientnet.network.architecture import Layer
from efficientnet.weights.conventions import (
    IMAGENET_STD,
    LITE,
    MEAN_STD,
    PLUS_MINUS_ONE,
    Conventions,
    Preprocessing,
)
from efficientnet.weights.model_config import PROCESSOR, beside
from efficientnet.weights.naming import (
    AS_IS,
    CHANNELS_THIRD,
    TENSORFLOW_WORDS,
    Entry,
    Family,
    FamilyCheckpoint,
    Words,
)
from efficientnet.weights.readers.checkpoint import Tensor

log = logging.getLogger(__name__)

AVERAGE = "/ExponentialMovingAverage"
# A variable of what Keras calls its layer for preprocessing.
NORMALIZATION = re.compile(r"(^|/)normalization[^/]*/[^/]*$")


def google(checkpoint: FamilyCheckpoint, variant: str, hint: str, path: epath.Path) -> Conventions:
    """Google's checkpoints, and lukemelas' copies of them, tell AdvProp by the path alone."""
    if variant.startswith("lite"):
        return Conventions(LITE)
    adversarial = re.search(r"advprop|adv-efficientnet|adv_efficientnet", hint)
    return Conventions(PLUS_MINUS_ONE if adversarial else MEAN_STD)


def torchvision(
    checkpoint: FamilyCheckpoint, variant: str, hint: str, path: epath.Path
) -> Conventions:
    """PyTorch's padding everywhere; the larger networks have another epsilon."""
    return Conventions(MEAN_STD, "symmetric", 1e-3 if variant in ("b5", "b6", "b7") else 1e-5)


def timm(checkpoint: FamilyCheckpoint, variant: str, hint: str, path: epath.Path) -> Conventions:
    """The same names and shapes mean two networks, which only timm's own model names tell apart."""
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


def transformers(
    checkpoint: FamilyCheckpoint, variant: str, hint: str, path: epath.Path
) -> Conventions:
    """Keras's networks; how photos are normalized stands in a file beside the weights."""
    if not beside(path, PROCESSOR).is_file():
        log.warning("%s has no %s beside it: takes ImageNet's mean and std", path, PROCESSOR)
    return Conventions(MEAN_STD)


def keras(checkpoint: FamilyCheckpoint, variant: str, hint: str, path: epath.Path) -> Conventions:
    """Keras Applications rescales to 0..1 and normalizes inside of the model.

    The published files hold the standard deviation in place of the variance, and the model around
    them makes up for it with one more rescaling.
    """
    if len({name.rpartition("/")[0] for name in checkpoint.normalization}) > 1:
        raise UserError(f"{path} has two normalization layers: save the network without the outer")
    values = {
        name.split("/")[-1]: np.asarray(tensor.read(), np.float32).reshape(-1)
        for name, tensor in checkpoint.normalization.items()
        if tensor.shape in ((3,), (1,), (1, 1, 1, 3), (1, 1, 1, 1))
    }
    mean = values.get("mean", values.get("0"))
    variance = values.get("variance", values.get("1"))
    if mean is None or variance is None:
        return Conventions(MEAN_STD)
    if not (np.isfinite(mean).all() and np.isfinite(variance).all() and (variance > 0).all()):
        raise ValueError("the normalization layer has impossible values")
    published = mean.shape == (3,) and np.allclose(variance, IMAGENET_STD, atol=1e-3)
    std = variance if published else np.sqrt(variance)
    return Conventions(
        Preprocessing(
            tuple(float(255 * value) for value in mean), tuple(float(255 * value) for value in std)
        )
    )


def own(checkpoint: FamilyCheckpoint, variant: str, hint: str, path: epath.Path) -> Conventions:
    """Our own files have their conventions in their metadata, see `pretrained.restore`."""
    return Conventions(MEAN_STD)


class GoogleFamily(Family):
    """TensorFlow 1, where each variable may have a moving average beside it."""

    def sort(self, tensors: Mapping[str, Tensor]) -> FamilyCheckpoint:
        """Takes the averages in place of the raw variables, without the name of the network."""
        roots = {name.split("/")[0] for name in tensors}
        raw: dict[str, Tensor] = {}
        averages: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            name = name.partition("/")[2] if len(roots) == 1 else name
            if name.endswith(AVERAGE):
                averages[name.removesuffix(AVERAGE)] = tensor
            else:
                raw[name] = tensor
        return FamilyCheckpoint(self, {**raw, **averages}, averaged=len(averages))


class TransformersFamily(Family):
    """transformers, where the classifier stands outside of the network, and may be missing."""

    def sort(self, tensors: Mapping[str, Tensor]) -> FamilyCheckpoint:
        """Brings both to one level."""
        inner = "efficientnet."
        return FamilyCheckpoint(
            self, {name.removeprefix(inner): tensor for name, tensor in tensors.items()}
        )


class KerasFamily(Family):
    """Keras models, which may normalize images themselves."""

    def sort(self, tensors: Mapping[str, Tensor]) -> FamilyCheckpoint:
        """Sets the normalization layer apart."""
        apart = {key: tensor for key, tensor in tensors.items() if NORMALIZATION.search(key)}
        weights = {key: tensor for key, tensor in tensors.items() if key not in apart}
        return FamilyCheckpoint(self, weights, normalization=apart)


class NumberedFamily(KerasFamily):
    """Keras 3 without the layers' names: each is called by its class and a number, in order."""

    def entries(self, layers: Iterable[Layer]) -> dict[str, Entry]:
        """Every name that a whole checkpoint of these layers has."""
        entries: dict[str, Entry] = {}
        counts: dict[str, int] = {}
        for layer in layers:
            title = self.layer_name(layer)
            number = counts[title] = counts.get(title, -1) + 1
            entries |= self.entries_of(layer, f"{title}_{number}" if number else title)
        return entries


class OwnFamily(Family):
    """Our own files, in which a name is the path of a leaf."""

    def entries(self, layers: Iterable[Layer]) -> dict[str, Entry]:
        """Every name that a whole checkpoint of these layers has."""
        return {
            "/".join(path): Entry(path, shape, AS_IS)
            for layer in layers
            for path, shape in layer.variables.items()
        }


_OUTSIDE = ("stem_conv", "stem_bn", "top_conv", "top_bn", "predictions")
_PLAIN = ("dwconv", "bn", "se_reduce", "se_expand", "project_conv", "project_bn")
_EXPANDING = ("expand_conv", "expand_bn", *_PLAIN)


def _outside(names: str) -> dict[str, str]:
    return dict(zip(_OUTSIDE, names.split(), strict=True))


def _block(prefix: str, roles: Iterable[str], names: str) -> dict[str, str]:
    return {role: prefix + name for role, name in zip(roles, names.split(), strict=True)}


LUKEMELAS = Family(
    title="lukemelas",
    marker="_conv_stem.weight",
    conventions=google,
    expanding={
        **_outside("_conv_stem _bn0 _conv_head _bn1 _fc"),
        **_block(
            "_blocks.{i}.",
            _EXPANDING,
            "_expand_conv _bn0 _depthwise_conv _bn1 _se_reduce _se_expand _project_conv _bn2",
        ),
    },
)

TIMM = Family(
    title="timm",
    marker="conv_stem.weight",
    conventions=timm,
    expanding={
        **_outside("conv_stem bn1 conv_head bn2 classifier"),
        **_block(
            "blocks.{s}.{r}.",
            _EXPANDING,
            "conv_pw bn1 conv_dw bn2 se.conv_reduce se.conv_expand conv_pwl bn3",
        ),
    },
    plain=_block(
        "blocks.{s}.{r}.", _PLAIN, "conv_dw bn1 se.conv_reduce se.conv_expand conv_pw bn2"
    ),
)

TORCHVISION = Family(
    title="torchvision",
    marker="features.0.0.weight",
    conventions=torchvision,
    expanding={
        **_outside("features.0.0 features.0.1 features.8.0 features.8.1 classifier.1"),
        **_block("features.{n}.{r}.block.", _EXPANDING, "0.0 0.1 1.0 1.1 2.fc1 2.fc2 3.0 3.1"),
    },
    plain=_block("features.{n}.{r}.block.", _PLAIN, "0.0 0.1 1.fc1 1.fc2 2.0 2.1"),
)

TRANSFORMERS = TransformersFamily(
    title="transformers",
    marker="embeddings.convolution.weight",
    conventions=transformers,
    expanding={
        **_outside(
            "embeddings.convolution embeddings.batchnorm encoder.top_conv encoder.top_bn classifier"
        ),
        **_block(
            "encoder.blocks.{i}.",
            _EXPANDING,
            "expansion.expand_conv expansion.expand_bn depthwise_conv.depthwise_conv "
            "depthwise_conv.depthwise_norm squeeze_excite.reduce squeeze_excite.expand "
            "projection.project_conv projection.project_bn",
        ),
    },
)

TF1 = GoogleFamily(
    title="TF1",
    marker="stem/conv2d/kernel",
    conventions=google,
    expanding={
        **_outside(
            "stem/conv2d stem/tpu_batch_normalization head/conv2d head/tpu_batch_normalization "
            "head/dense"
        ),
        **_block(
            "blocks_{i}/",
            _EXPANDING,
            "conv2d tpu_batch_normalization depthwise_conv2d tpu_batch_normalization_1 "
            "se/conv2d se/conv2d_1 conv2d_1 tpu_batch_normalization_2",
        ),
    },
    plain=_block(
        "blocks_{i}/",
        _PLAIN,
        "depthwise_conv2d tpu_batch_normalization se/conv2d se/conv2d_1 conv2d "
        "tpu_batch_normalization_1",
    ),
    words=TENSORFLOW_WORDS,
    separator="/",
)

KERAS_WORDS: Words = {**TENSORFLOW_WORDS, "depthwise": ("kernel", CHANNELS_THIRD)}

KERAS = KerasFamily(
    title="Keras",
    marker="stem_conv/kernel",
    conventions=keras,
    expanding=dict.fromkeys([*_OUTSIDE, *_EXPANDING], "{name}"),
    words=KERAS_WORDS,
    separator="/",
)

KERAS_NUMBERED = NumberedFamily(
    title="Keras",
    marker="conv2d/kernel",
    conventions=keras,
    expanding={
        **_outside("conv2d batch_normalization conv2d batch_normalization dense"),
        **_block(
            "",
            _EXPANDING,
            "conv2d batch_normalization depthwise_conv2d batch_normalization conv2d conv2d "
            "conv2d batch_normalization",
        ),
    },
    words=KERAS_WORDS,
    separator="/",
)

OWN = OwnFamily(
    title="own", marker="params/stem_conv/kernel", conventions=own, expanding={}, separator="/"
)

FAMILIES: tuple[Family, ...] = (
    LUKEMELAS,
    TIMM,
    TORCHVISION,
    TRANSFORMERS,
    OWN,
    TF1,
    KERAS,
    KERAS_NUMBERED,
)

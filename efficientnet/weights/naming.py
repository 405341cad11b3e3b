"""How each family of checkpoints calls our leaves and lays them out: one naming map per family.

Sources: the variable names of the published checkpoints, and of the modules that write them (the
TPU reference implementation, Keras Applications, timm, torchvision and lukemelas'
efficientnet_pytorch).
"""

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np

from efficientnet.network.architecture import Layer, LeafPath


@dataclasses.dataclass(frozen=True)
class Transform:
    """The order of a foreign array's axes: axis i of ours is axis `axes[i]` there."""

    axes: tuple[int, ...] | None = None

    def foreign_shape(self, ours: tuple[int, ...]) -> tuple[int, ...]:
        """The shape that a leaf of shape `ours` has in the foreign file."""
        if self.axes is None:
            return ours
        return tuple(size for _, size in sorted(zip(self.axes, ours, strict=True)))

    def apply(self, foreign: np.ndarray) -> np.ndarray:
        """A view of the foreign array with our order of axes."""
        return foreign if self.axes is None else foreign.transpose(self.axes)


AS_IS = Transform()
FROM_TORCH = Transform((2, 3, 1, 0))  # [out, in, height, width]
FROM_TORCH_DENSE = Transform((1, 0))  # [out, in]
CHANNELS_THIRD = Transform((0, 1, 3, 2))  # TensorFlow's depthwise [height, width, channels, 1]

# What each kind of leaf is called, and how it is laid out.
Words = Mapping[str, tuple[str, Transform]]

TORCH_WORDS: Words = {
    "kernel": ("weight", FROM_TORCH),
    "depthwise": ("weight", FROM_TORCH),
    "dense": ("weight", FROM_TORCH_DENSE),
    "bias": ("bias", AS_IS),
    "scale": ("weight", AS_IS),
    "offset": ("bias", AS_IS),
    "mean": ("running_mean", AS_IS),
    "var": ("running_var", AS_IS),
}
TENSORFLOW_WORDS: Words = {
    "kernel": ("kernel", AS_IS),
    "depthwise": ("depthwise_kernel", CHANNELS_THIRD),
    "dense": ("kernel", AS_IS),
    "bias": ("bias", AS_IS),
    "scale": ("gamma", AS_IS),
    "offset": ("beta", AS_IS),
    "mean": ("moving_mean", AS_IS),
    "var": ("moving_variance", AS_IS),
}


def kind_of(layer: Layer, leaf: str) -> str:
    """The kind of leaf, a key of `Words`."""
    if leaf == "kernel" and layer.kind != "conv":
        return layer.kind
    return "offset" if layer.kind == "batch_norm" and leaf == "bias" else leaf


@dataclasses.dataclass(frozen=True)
class Entry:
    """One foreign name: our leaf for it, the shape it must have there, and how to turn it."""

    leaf: LeafPath
    shape: tuple[int, ...]
    transform: Transform


@dataclasses.dataclass(frozen=True)
class Family:
    """The names of one kind of checkpoint.

    A layer's name is a template in which `{i}` is the block's index in the network from 0, `{s}`
    its stage from 0, `{n}` its stage from 1, `{r}` its repeat in the stage from 0, `{name}` our
    own name.

    Attributes:
      title: what people call it.
      marker: a name that this family's checkpoints have and no other's do.
      expanding: templates by role, for blocks that expand and outside of the blocks.
      plain: those that differ in blocks that don't expand.
      words: for the leaves.
      separator: between a layer's name and a leaf's.
    """

    title: str
    marker: str
    expanding: Mapping[str, str]
    plain: Mapping[str, str] = dataclasses.field(default_factory=dict)
    words: Words = dataclasses.field(default_factory=lambda: TORCH_WORDS)
    separator: str = "."

    def layer_name(self, layer: Layer) -> str:
        """The family's name of a layer."""
        block = layer.block
        if block is None:
            return self.expanding[layer.role].format(name=layer.name)
        template = self.expanding[layer.role]
        if not block.expands:
            template = self.plain.get(layer.role, template)
        return template.format(
            i=block.index, s=block.row - 1, n=block.row, r=block.repeat, name=layer.name
        )

    def entries(self, layers: Iterable[Layer]) -> dict[str, Entry]:
        """Every name that a whole checkpoint of these layers has."""
        entries: dict[str, Entry] = {}
        for layer in layers:
            entries |= self.entries_of(layer, self.layer_name(layer))
        return entries

    def entries_of(self, layer: Layer, name: str) -> dict[str, Entry]:
        """The names of one layer's leaves, when the layer is called `name`."""
        entries = {}
        for path, shape in layer.variables.items():
            word, transform = self.words[kind_of(layer, path[-1])]
            entry = Entry(path, transform.foreign_shape(shape), transform)
            entries[name + self.separator + word] = entry
        return entries


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
    expanding={
        **_outside("features.0.0 features.0.1 features.8.0 features.8.1 classifier.1"),
        **_block("features.{n}.{r}.block.", _EXPANDING, "0.0 0.1 1.0 1.1 2.fc1 2.fc2 3.0 3.1"),
    },
    plain=_block("features.{n}.{r}.block.", _PLAIN, "0.0 0.1 1.fc1 1.fc2 2.0 2.1"),
)

TF1 = Family(
    title="TF1",
    marker="stem/conv2d/kernel",
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


class NumberedFamily(Family):
    """Keras 3 where it left out the layers' names: by class, and number in the model's order."""

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
    """Our own files, whose names are the paths of the leaves."""

    def entries(self, layers: Iterable[Layer]) -> dict[str, Entry]:
        """Every name that a whole checkpoint of these layers has."""
        return {
            "/".join(path): Entry(path, shape, AS_IS)
            for layer in layers
            for path, shape in layer.variables.items()
        }


KERAS_WORDS: Words = {**TENSORFLOW_WORDS, "depthwise": ("kernel", CHANNELS_THIRD)}

KERAS = Family(
    title="Keras",
    marker="stem_conv/kernel",
    expanding=dict.fromkeys([*_OUTSIDE, *_EXPANDING], "{name}"),
    words=KERAS_WORDS,
    separator="/",
)

KERAS_NUMBERED = NumberedFamily(
    title="Keras",
    marker="conv2d/kernel",
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

OWN = OwnFamily(title="own", marker="params/stem_conv/kernel", expanding={})

FAMILIES = (LUKEMELAS, TIMM, TORCHVISION, TF1, KERAS, KERAS_NUMBERED, OWN)

"""From a network's variables to the names, shapes and axes that a family of checkpoints gives them.

The families themselves are in `families`.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from etils import epath

from efficientnet.network.architecture import Layer, LeafPath
from efficientnet.weights.conventions import Conventions
from efficientnet.weights.readers.checkpoint import Tensor


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
    """What a name in a checkpoint stands for: our leaf, its shape there, and its order of axes."""

    leaf: LeafPath
    shape: tuple[int, ...]
    transform: Transform


@dataclasses.dataclass(frozen=True)
class FamilyCheckpoint:
    """The tensors of a checkpoint whose family is known.

    Attributes:
      family: whose names they have.
      weights: the tensors that belong to the network, by the family's names.
      averaged: how many of them are moving averages.
      normalization: the variables of a Keras model's own Normalization layer, by name.
      rest: tensors of the model around the network, by name.
    """

    family: "Family"
    weights: Mapping[str, Tensor]
    averaged: int = 0
    normalization: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)
    rest: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)


# From a checkpoint, the name of its variant, a hint (see `conventions.hint_of`) and the path for an
# error to the conventions of its weights.
FindConventions = Callable[[FamilyCheckpoint, str, str, epath.Path], Conventions]


@dataclasses.dataclass(frozen=True)
class Family:
    """The names of one kind of checkpoint.

    A layer's name is a template in which `{i}` is the block's index in the network from 0, `{n}`
    the number of its run of blocks from 1, `{s}` the same from 0, `{r}` its place in that run from
    0, and `{name}` our own name.

    Attributes:
      title: what people call it.
      marker: a name that this family's checkpoints have and no other's do; before it may stand the
        place of the network in a larger model.
      conventions: finds out what goes with the weights.
      expanding: templates by role, for blocks that expand and outside of the blocks.
      plain: those that differ in blocks that don't expand.
      words: for the leaves.
      separator: between a layer's name and a leaf's.
    """

    title: str
    marker: str
    conventions: FindConventions
    expanding: Mapping[str, str]
    plain: Mapping[str, str] = dataclasses.field(default_factory=dict)
    words: Words = dataclasses.field(default_factory=lambda: TORCH_WORDS)
    separator: str = "."

    def sort(self, tensors: Mapping[str, Tensor]) -> FamilyCheckpoint:
        """Separates the weights from what else a checkpoint of the family holds."""
        return FamilyCheckpoint(self, tensors)

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

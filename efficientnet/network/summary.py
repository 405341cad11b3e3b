"""What a network consists of: outputs, parameters and arithmetic of its layers, without weights."""

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

from efficientnet.network import architecture
from efficientnet.network.architecture import Architecture, Layer, SqueezeExcite
from efficientnet.network.freeze_groups import Trainable, group_of, split_params
from efficientnet.network.variants import Variant

BYTES = 4  # of a float32


class LayerAtWork(NamedTuple):
    """A layer that has variables, at the size of its images.

    Attributes:
      layer: with its variables.
      output: [height, width, channels]; of the features and the classifier [channels].
    """

    layer: Layer
    output: tuple[int, ...]

    def size(self, collection: str) -> int:
        """Returns how many numbers there are in 'params' or 'batch_stats'."""
        variables = self.layer.variables.items()
        return sum(math.prod(shape) for path, shape in variables if path[0] == collection)

    @property
    def multiply_adds(self) -> int:
        """For one image: the size of its kernel for each pixel of the output."""
        variables = self.layer.variables.items()
        kernel = sum(math.prod(shape) for path, shape in variables if path[2] == "kernel")
        return math.prod(self.output[:-1]) * kernel


class Part(NamedTuple):
    """Consecutive layers: of a block, of a freeze group or of the whole network.

    Attributes:
      name: of what they make up.
      depth: 0 for a freeze group, 1 for a block, 2 for a layer.
      layers: in order.
    """

    name: str
    depth: int
    layers: tuple[LayerAtWork, ...]

    @property
    def output(self) -> tuple[int, ...]:
        """Shape of the last layer's output."""
        return self.layers[-1].output

    @property
    def parameters(self) -> int:
        """How many numbers can be trained."""
        return sum(one.size("params") for one in self.layers)

    @property
    def statistics(self) -> int:
        """How many numbers are the moving means and variances of BatchNorm."""
        return sum(one.size("batch_stats") for one in self.layers)

    @property
    def multiply_adds(self) -> int:
        """Of convolutions and the classifier for one image, as papers count FLOPs.

        BatchNorm, activations, biases, shortcuts and pooling count nothing.
        """
        return sum(one.multiply_adds for one in self.layers)

    @property
    def bytes(self) -> int:
        """Of parameters and statistics in float32."""
        return BYTES * (self.parameters + self.statistics)

    def trained(self, trains: Trainable) -> int:
        """Returns how many of the parameters a stage trains."""
        trainable, _ = split_params({one.layer.name: one for one in self.layers}, trains)
        return sum(one.size("params") for one in trainable.values())

    def parts(self) -> Iterator["Part"]:
        """Yields each freeze group, then what is in it: blocks and layers, in order."""
        for group, inside in itertools.groupby(self.layers, lambda one: group_of(one.layer.name)):
            members = tuple(inside)
            yield Part(group, 0, members)
            for block, within in itertools.groupby(members, lambda one: one.layer.block):
                own = tuple(within)
                if block:
                    yield Part(block.name, 1, own)
                for one in own:
                    yield Part(one.layer.name, 2, (one,))


def summarize(
    variant: Variant,
    num_classes: int,
    resolution: int,
    channels: int = 3,
    head_batch_norm: bool = False,
) -> Part:
    """Returns all layers that have variables, from the stem to the classifier.

    Args:
      variant: the row of `variants.VARIANTS`.
      num_classes: length of the logits.
      resolution: height and width of the images, pixels.
      channels: of the images, 3 or 1.
      head_batch_norm: whether a BatchNorm comes before the classifier.
    """
    sides = dict(_sides(architecture.build(variant, channels), resolution))
    found = []
    for layer in architecture.layers(variant, num_classes, channels, head_batch_norm):
        *_, filters = next(iter(layer.variables.values()))
        found.append(LayerAtWork(layer, (*sides.get(layer.name, ()), filters)))
    return Part("total", 0, tuple(found))


def _sides(network: Architecture, side: int) -> Iterator[tuple[str | None, tuple[int, int]]]:
    """Yields the layers before the pooling with the height and width of their outputs."""
    inside = (layer for block in network.blocks for layer in block.layers)
    for layer in (network.stem, *inside, network.top):
        if isinstance(layer, SqueezeExcite):
            yield layer.reduce.name, (1, 1)
            yield layer.expand.name, (1, 1)
        else:
            side = math.ceil(side / layer.stride)  # with both kinds of padding
            yield layer.name, (side, side)
            yield layer.batch_norm, (side, side)

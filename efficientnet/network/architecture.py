"""The network as data: its layers in order, read by everything that has to know them.

Four places interpret these tables: the module (`model`), the variables that a checkpoint must hold
(`layers` below), the `summary` and the TensorFlow graph of an export. Another kind of block is a
function here that lists its layers and a name in `BLOCKS`; another family is a tuple of
`variants.BlockArgs`.
"""

import dataclasses
import string
from collections.abc import Callable, Iterator, Mapping

from efficientnet.network.variants import BlockArgs, Variant, round_filters, round_repeats

SE_RATIO = 0.25  # width of the squeeze, relative to the block's input
# A variable's place: collection, layer and name, such as ('params', 'stem_conv', 'kernel').
LeafPath = tuple[str, str, str]


@dataclasses.dataclass(frozen=True)
class Conv:
    """A convolution, and the BatchNorm and activation after it.

    Attributes:
      name: of the layer, as in Keras Applications.
      filters_in: channels of the input.
      filters: channels of the output.
      activation: a key of `ops.activations.ACTIVATIONS`.
      batch_norm: name of the BatchNorm; without one, the convolution has a bias.
      kernel: height and width in pixels.
      stride: in both directions.
      depthwise: whether every channel has a kernel of its own.
    """

    name: str
    filters_in: int
    filters: int
    activation: str
    batch_norm: str | None
    kernel: int = 1
    stride: int = 1
    depthwise: bool = False

    @property
    def widens(self) -> bool:
        """Whether this is a 1x1 convolution to more channels."""
        return self.kernel == 1 and self.filters > self.filters_in


@dataclasses.dataclass(frozen=True)
class SqueezeExcite:
    """Two 1x1 convolutions of the channels' means, to factors between 0 and 1 for all channels.

    The 1x1 convolution that follows multiplies its input by them (Hu et al., 2018).
    """

    reduce: Conv
    expand: Conv


@dataclasses.dataclass(frozen=True)
class Block:
    """Layers that share a shortcut.

    Attributes:
      name: as in Keras Applications, the number of the run and a letter: `block2a`.
      row: which of the `BlockArgs` it comes from, from 1.
      repeat: which block of that run it is, from 0.
      index: which block of the network it is, from 0.
      layers: in order.
      shortcut: whether the block's input is added to its output.
    """

    name: str
    row: int
    repeat: int
    index: int
    layers: tuple[Conv | SqueezeExcite, ...]
    shortcut: bool

    @property
    def expands(self) -> bool:
        """Whether the block begins with a convolution to more channels."""
        first = self.layers[0]
        return isinstance(first, Conv) and first.widens


@dataclasses.dataclass(frozen=True)
class Architecture:
    """Everything between the images and the pooled features."""

    stem: Conv
    blocks: tuple[Block, ...]
    top: Conv


def mbconv(
    name: str, args: BlockArgs, stride: int, filters_in: int, filters: int, variant: Variant
) -> Iterator[Conv | SqueezeExcite]:
    """Expand, filter each channel, excite, project (Sandler et al. 2018, "MobileNetV2").

    With an expansion ratio of 1 it is a depthwise-separable convolution.
    """
    act, wide = variant.activation, filters_in * args.expand_ratio
    if args.expand_ratio != 1:
        yield Conv(f"{name}_expand_conv", filters_in, wide, act, f"{name}_expand_bn")
    yield Conv(f"{name}_dwconv", wide, wide, act, f"{name}_bn", args.kernel, stride, True)
    if not variant.lite:
        squeezed = max(1, int(filters_in * SE_RATIO))
        yield SqueezeExcite(
            Conv(f"{name}_se_reduce", wide, squeezed, act, None),
            Conv(f"{name}_se_expand", squeezed, wide, "sigmoid", None),
        )
    yield Conv(f"{name}_project_conv", wide, filters, "linear", f"{name}_project_bn")


# The arguments are the block's name, its row, stride, channels before and after, and the variant.
BLOCKS: dict[str, Callable[..., Iterator[Conv | SqueezeExcite]]] = {"mbconv": mbconv}


def build(variant: Variant, channels: int = 3) -> Architecture:
    """Lists the layers of a variant for images of so many channels."""
    act = variant.activation
    stem = Conv("stem_conv", channels, variant.stem_filters, act, "stem_bn", kernel=3, stride=2)
    blocks: list[Block] = []
    filters_in = stem.filters
    for row, args in enumerate(variant.block_args, start=1):
        fixed = variant.lite and row in (1, len(variant.block_args))
        repeats = args.repeats if fixed else round_repeats(args.repeats, variant.depth)
        filters = round_filters(args.filters, variant.width)
        for repeat in range(repeats):
            name = f"block{row}{string.ascii_lowercase[repeat]}"
            stride = args.stride if repeat == 0 else 1
            layers = BLOCKS[args.kind](name, args, stride, filters_in, filters, variant)
            shortcut = stride == 1 and filters_in == filters
            blocks.append(Block(name, row, repeat, len(blocks), tuple(layers), shortcut))
            filters_in = filters
    top = Conv("top_conv", filters_in, variant.top_filters, act, "top_bn")
    return Architecture(stem, tuple(blocks), top)


@dataclasses.dataclass(frozen=True)
class Layer:
    """The variables of one layer.

    Attributes:
      name: of the layer, such as `block2a_expand_conv`.
      kind: 'conv', 'depthwise', 'batch_norm' or 'dense'.
      variables: their shapes, by path.
      block: which it belongs to; None for stem, top and classifier.
    """

    name: str
    kind: str
    variables: Mapping[LeafPath, tuple[int, ...]]
    block: Block | None = None

    @property
    def role(self) -> str:
        """What every block calls it, such as `expand_conv`; outside of blocks, the name."""
        return self.name.removeprefix(f"{self.block.name}_") if self.block else self.name


def layers(
    variant: Variant, num_classes: int, channels: int = 3, head_batch_norm: bool = False
) -> tuple[Layer, ...]:
    """Returns all layers that have variables, from the stem to the classifier.

    Args:
      variant: the row of `variants.VARIANTS`.
      num_classes: length of the logits.
      channels: of the images, 3 or 1.
      head_batch_norm: whether a BatchNorm comes before the classifier.
    """
    network = build(variant, channels)
    result = list(_layers(network.stem))
    for block in network.blocks:
        for layer in block.layers:
            convs = (layer,) if isinstance(layer, Conv) else (layer.reduce, layer.expand)
            for conv in convs:
                result += _layers(conv, block)
    result += _layers(network.top)
    if head_batch_norm:
        result.append(_batch_norm("predictions_bn", network.top.filters))
    result.append(_kernel_and_bias("predictions", "dense", (network.top.filters, num_classes)))
    return tuple(result)


def _layers(conv: Conv, block: Block | None = None) -> Iterator[Layer]:
    kind, filters_in = ("depthwise", 1) if conv.depthwise else ("conv", conv.filters_in)
    shape = (conv.kernel, conv.kernel, filters_in, conv.filters)
    if conv.batch_norm is None:
        yield _kernel_and_bias(conv.name, kind, shape, block)
        return
    yield Layer(conv.name, kind, {("params", conv.name, "kernel"): shape}, block)
    yield _batch_norm(conv.batch_norm, conv.filters, block)


def _batch_norm(name: str, filters: int, block: Block | None = None) -> Layer:
    places = (
        ("params", "scale"),
        ("params", "bias"),
        ("batch_stats", "mean"),
        ("batch_stats", "var"),
    )
    variables = {(group, name, leaf): (filters,) for group, leaf in places}
    return Layer(name, "batch_norm", variables, block)


def _kernel_and_bias(
    name: str, kind: str, shape: tuple[int, ...], block: Block | None = None
) -> Layer:
    variables = {("params", name, "kernel"): shape, ("params", name, "bias"): shape[-1:]}
    return Layer(name, kind, variables, block)

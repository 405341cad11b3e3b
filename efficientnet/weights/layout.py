"""The leaves of a network by name and shape, read off the variant's table without running JAX.

A leaf's path is (collection, layer, name), such as `('params', 'stem_conv', 'kernel')`.
"""

import dataclasses

from efficientnet.network.variants import Variant

LeafPath = tuple[str, str, str]

BATCH_NORM_LEAVES = (
    ("params", "scale"),
    ("params", "bias"),
    ("batch_stats", "mean"),
    ("batch_stats", "var"),
)


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer that has weights.

    Attributes:
      name: ours, such as `block2a_expand_conv`.
      role: what every block calls it, such as `expand_conv`; `stem_conv`, `top_conv` and so on
        outside of the blocks.
      kernel_shape: [height, width, in, out], [in, out] for the classifier; () for BatchNorm.
      channels: of the output.
      has_bias: whether a convolution has one.
      stage: 1 to 7; 0 outside of the blocks.
      repeat: of the block in its stage, from 0.
      index: of the block in the network, from 0.
      expands: whether the block begins with an expansion.
    """

    name: str
    role: str
    kernel_shape: tuple[int, ...]
    channels: int
    has_bias: bool = False
    stage: int = 0
    repeat: int = 0
    index: int = 0
    expands: bool = True

    @property
    def is_batch_norm(self) -> bool:
        """Whether this is a BatchNorm."""
        return not self.kernel_shape

    def leaves(self) -> dict[LeafPath, tuple[int, ...]]:
        """The layer's leaves and their shapes."""
        if self.is_batch_norm:
            return {
                (collection, self.name, leaf): (self.channels,)
                for collection, leaf in BATCH_NORM_LEAVES
            }
        leaves: dict[LeafPath, tuple[int, ...]] = {
            ("params", self.name, "kernel"): self.kernel_shape
        }
        if self.has_bias:
            leaves["params", self.name, "bias"] = (self.channels,)
        return leaves


def layers(variant: Variant, num_classes: int, channels: int = 3) -> tuple[Layer, ...]:
    """Returns all layers with weights, from the stem to the classifier."""
    result = [
        Layer(
            "stem_conv", "stem_conv", (3, 3, channels, variant.stem_filters), variant.stem_filters
        ),
        Layer("stem_bn", "stem_bn", (), variant.stem_filters),
    ]
    repeats = dict.fromkeys(range(1, 8), 0)
    for index, block in enumerate(variant.blocks()):
        stage = int(block.name.removeprefix("block")[0])
        wide = block.filters_in * block.expand_ratio
        k, squeezed = block.kernel, block.se_filters
        expands = block.expand_ratio != 1
        roles: list[tuple[str, tuple[int, ...], int, bool]] = []
        if expands:
            roles.append(("expand_conv", (1, 1, block.filters_in, wide), wide, False))
            roles.append(("expand_bn", (), wide, False))
        roles.append(("dwconv", (k, k, 1, wide), wide, False))
        roles.append(("bn", (), wide, False))
        if squeezed:
            roles.append(("se_reduce", (1, 1, wide, squeezed), squeezed, True))
            roles.append(("se_expand", (1, 1, squeezed, wide), wide, True))
        roles.append(("project_conv", (1, 1, wide, block.filters_out), block.filters_out, False))
        roles.append(("project_bn", (), block.filters_out, False))
        for role, shape, width, has_bias in roles:
            name = f"{block.name}_{role}"
            repeat = repeats[stage]
            result.append(Layer(name, role, shape, width, has_bias, stage, repeat, index, expands))
        repeats[stage] += 1
    last, top = variant.blocks()[-1].filters_out, variant.top_filters
    result.append(Layer("top_conv", "top_conv", (1, 1, last, top), top))
    result.append(Layer("top_bn", "top_bn", (), top))
    result.append(Layer("predictions", "predictions", (top, num_classes), num_classes, True))
    return tuple(result)


def leaf_shapes(
    variant: Variant, num_classes: int, channels: int = 3
) -> dict[LeafPath, tuple[int, ...]]:
    """Returns every leaf of the network with its shape."""
    return {
        path: shape
        for layer in layers(variant, num_classes, channels)
        for path, shape in layer.leaves().items()
    }

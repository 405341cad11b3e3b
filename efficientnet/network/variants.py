"""Every EfficientNet variant as one row of a table.

Sources: Tan and Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural
Networks" (B0-B7, table 1 and section 5); Xie et al. 2020, "AdvProp" (B8) and "Self-training with
Noisy Student" (L2); the TPU reference implementation for the rounding rules and the Lite variants.
"""

import dataclasses
import math

from efficientnet.errors import UserError


@dataclasses.dataclass(frozen=True)
class BlockArgs:
    """A run of equal blocks before scaling; the runs are called block1, block2, ..."""

    kind: str  # a key of `architecture.BLOCKS`
    repeats: int
    kernel: int
    stride: int  # of the first block; the others keep the resolution
    expand_ratio: int  # 1 for a block without expansion
    filters: int  # output channels


STEM_FILTERS = 32
TOP_FILTERS = 1280
B0_BLOCKS = (
    BlockArgs("mbconv", repeats=1, kernel=3, stride=1, expand_ratio=1, filters=16),
    BlockArgs("mbconv", repeats=2, kernel=3, stride=2, expand_ratio=6, filters=24),
    BlockArgs("mbconv", repeats=2, kernel=5, stride=2, expand_ratio=6, filters=40),
    BlockArgs("mbconv", repeats=3, kernel=3, stride=2, expand_ratio=6, filters=80),
    BlockArgs("mbconv", repeats=3, kernel=5, stride=1, expand_ratio=6, filters=112),
    BlockArgs("mbconv", repeats=4, kernel=5, stride=2, expand_ratio=6, filters=192),
    BlockArgs("mbconv", repeats=1, kernel=3, stride=1, expand_ratio=6, filters=320),
)


def round_filters(filters: int, width: float) -> int:
    """Scales a channel count and rounds it to a multiple of 8, never down by more than 10 %."""
    scaled = filters * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


def round_repeats(repeats: int, depth: float) -> int:
    """Scales a number of blocks, rounding up."""
    return math.ceil(repeats * depth)


@dataclasses.dataclass(frozen=True)
class Variant:
    """A scaled network: how wide, how deep, for which input, and with which conventions."""

    width: float
    depth: float
    resolution: int  # pixels per side that the published weights were trained at
    dropout: float  # rate before the classifier
    padding: str = "same"  # 'same' as in TensorFlow, or 'symmetric' as in torchvision
    bn_epsilon: float = 1e-3
    lite: bool = False  # ReLU6, no squeeze-and-excitation, stem and top not scaled
    block_args: tuple[BlockArgs, ...] = B0_BLOCKS

    @property
    def activation(self) -> str:
        """Name of the activation function, a key of `ops.activations.ACTIVATIONS`."""
        return "relu6" if self.lite else "swish"

    @property
    def stem_filters(self) -> int:
        """Channels out of the stem convolution."""
        return STEM_FILTERS if self.lite else round_filters(STEM_FILTERS, self.width)

    @property
    def top_filters(self) -> int:
        """Channels of the last convolution, which is the length of the feature vector."""
        return TOP_FILTERS if self.lite else round_filters(TOP_FILTERS, self.width)


VARIANTS = {
    "b0": Variant(width=1.0, depth=1.0, resolution=224, dropout=0.2),
    "b1": Variant(width=1.0, depth=1.1, resolution=240, dropout=0.2),
    "b2": Variant(width=1.1, depth=1.2, resolution=260, dropout=0.3),
    "b3": Variant(width=1.2, depth=1.4, resolution=300, dropout=0.3),
    "b4": Variant(width=1.4, depth=1.8, resolution=380, dropout=0.4),
    "b5": Variant(width=1.6, depth=2.2, resolution=456, dropout=0.4),
    "b6": Variant(width=1.8, depth=2.6, resolution=528, dropout=0.5),
    "b7": Variant(width=2.0, depth=3.1, resolution=600, dropout=0.5),
    "b8": Variant(width=2.2, depth=3.6, resolution=672, dropout=0.5),
    "l2": Variant(width=4.3, depth=5.3, resolution=800, dropout=0.5),
    "l2_475": Variant(width=4.3, depth=5.3, resolution=475, dropout=0.5),
    "lite0": Variant(width=1.0, depth=1.0, resolution=224, dropout=0.2, lite=True),
    "lite1": Variant(width=1.0, depth=1.1, resolution=240, dropout=0.2, lite=True),
    "lite2": Variant(width=1.1, depth=1.2, resolution=260, dropout=0.3, lite=True),
    "lite3": Variant(width=1.2, depth=1.4, resolution=280, dropout=0.3, lite=True),
    "lite4": Variant(width=1.4, depth=1.8, resolution=300, dropout=0.3, lite=True),
}


def get_variant(name: str) -> Variant:
    """Returns the row of the table by its name; an unknown name is a `UserError`."""
    if name not in VARIANTS:
        raise UserError(f"unknown variant {name!r}: expected one of {', '.join(VARIANTS)}")
    return VARIANTS[name]

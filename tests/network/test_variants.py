import math

import jax
import pytest
from trees import leaf_shapes

from efficientnet.errors import UserError
from efficientnet.network.model import EfficientNet, init_variables
from efficientnet.network.variants import VARIANTS, get_variant, round_filters

# Tan and Le 2019, table 2; Xie et al. 2020 (B8, L2); the reference implementation's Lite table.
PUBLISHED = {
    "b0": 5_288_548,
    "b1": 7_794_184,
    "b2": 9_109_994,
    "b3": 12_233_232,
    "b4": 19_341_616,
    "b5": 30_389_784,
    "b6": 43_040_704,
    "b7": 66_347_960,
    "b8": 87_413_142,
    "l2": 480_309_308,
    "l2_475": 480_309_308,
    "lite0": 4_652_008,
    "lite1": 5_416_680,
    "lite2": 6_092_072,
    "lite3": 8_197_096,
    "lite4": 13_006_568,
}


def count(name: str, collection: str, num_classes: int = 1000, channels: int = 3) -> int:
    shapes = leaf_shapes(get_variant(name), num_classes, channels)
    return sum(math.prod(shape) for path, shape in shapes.items() if path[0] == collection)


@pytest.mark.parametrize("name", VARIANTS)
def test_parameter_counts_are_the_published_ones(name: str) -> None:
    assert count(name, "params") == PUBLISHED[name]


def test_b0_has_the_published_statistics() -> None:
    assert count("b0", "batch_stats") == 42_016


def test_classes_and_colors_change_the_counts_as_published() -> None:
    assert count("b0", "params", num_classes=196) == 4_258_624
    assert count("b0", "params", num_classes=196, channels=1) == 4_258_048
    model = EfficientNet(get_variant("b0"), features_only=True)
    shapes = jax.eval_shape(lambda: init_variables(model, jax.random.key(0)))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes["params"])) == 4_007_548


def test_rounding_never_loses_more_than_a_tenth() -> None:
    for filters in range(8, 400, 8):
        for width in (1.0, 1.1, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 4.3):
            rounded = round_filters(filters, width)
            assert rounded % 8 == 0
            assert rounded >= 0.9 * filters * width


def test_an_unknown_variant_is_named_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"unknown variant 'b9'.*b0, b1.*lite4"):
        get_variant("b9")

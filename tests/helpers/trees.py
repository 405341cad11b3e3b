"""Nested arrays: their shapes and what they hold."""

import jax
import numpy as np

from efficientnet.network import architecture
from efficientnet.network.variants import Variant


def leaf_shapes(
    variant: Variant, num_classes: int, channels: int = 3
) -> dict[architecture.LeafPath, tuple[int, ...]]:
    """The shape of every variable of a network, by the tables of its architecture."""
    return {
        path: shape
        for layer in architecture.layers(variant, num_classes, channels)
        for path, shape in layer.variables.items()
    }


def assert_trees_close(mine, wanted, atol=1e-5, rtol=1e-4):
    """Asserts that two trees have the same structure and nearly the same values."""
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=atol, rtol=rtol), mine, wanted)

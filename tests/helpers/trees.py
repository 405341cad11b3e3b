"""Assertions on nested arrays."""

import jax
import numpy as np


def assert_trees_close(mine, wanted, atol=1e-5, rtol=1e-4):
    """Asserts that two trees have the same structure and nearly the same values."""
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=atol, rtol=rtol), mine, wanted)

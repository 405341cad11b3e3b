"""The activation functions, by the name that the tables of the architecture use."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array, lax


def swish(x: Array) -> Array:
    """x * sigmoid(x) (Ramachandran et al., 2017)."""
    # A TPU has an instruction for the hyperbolic tangent, and sigmoid(x) = (1 + tanh(x / 2)) / 2.
    return lax.platform_dependent(
        x, tpu=lambda x: x / 2 * (1 + jnp.tanh(x / 2)), default=lambda x: x * jax.nn.sigmoid(x)
    )


def relu6(x: Array) -> Array:
    """min(max(x, 0), 6), the activation of the Lite variants."""
    return jnp.clip(x, 0, 6)


def linear(x: Array) -> Array:
    """No activation."""
    return x


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "swish": swish,
    "relu6": relu6,
    "linear": linear,
    "sigmoid": jax.nn.sigmoid,
}

"""Squeeze-excite: factors for all channels of an example, made of their means (Hu et al., 2018)."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from efficientnet.network.activations import ACTIVATIONS
from efficientnet.network.layers import conv_kernel_init


class Gate(NamedTuple):
    """The variables: two 1x1 convolutions, float32."""

    reduce_kernel: Array  # [C, F]
    reduce_bias: Array  # [F]
    expand_kernel: Array  # [F, C]
    expand_bias: Array  # [C]


class GateConv(nn.Module):
    """A 1x1 convolution's variables 'kernel' [1, 1, C, features] and 'bias' [features]."""

    features: int

    @nn.compact
    def __call__(self, channels: int) -> tuple[Array, Array]:
        """Returns kernel [channels, features] and bias."""
        kernel = self.param("kernel", conv_kernel_init, (1, 1, channels, self.features))
        return kernel[0, 0], self.param("bias", nn.initializers.zeros, (self.features,))


def make_gate(prefix: str, channels: int, filters: int) -> Gate:
    """Adds `{prefix}_se_reduce` and `{prefix}_se_expand` to the module that calls it."""
    return Gate(
        *GateConv(filters, name=f"{prefix}_se_reduce")(channels),
        *GateConv(channels, name=f"{prefix}_se_expand")(filters),
    )


def excitation(x: Array, gate: Gate, activation: str) -> Array:
    """Factors between 0 and 1 for x [N, H, W, C]: [N, 1, 1, C] in its dtype, from float32."""
    with jax.named_scope("se"):  # for profiles
        means = jnp.mean(x, (1, 2), jnp.float32, keepdims=True)
        hidden = ACTIVATIONS[activation](jnp.dot(means, gate.reduce_kernel) + gate.reduce_bias)
        factors = jax.nn.sigmoid(jnp.dot(hidden, gate.expand_kernel) + gate.expand_bias)
        return factors.astype(x.dtype)

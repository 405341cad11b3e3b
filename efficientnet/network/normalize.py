"""What a network sees of an image's numbers."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def normalize(images: jax.Array, mean: ArrayLike, std: ArrayLike) -> jax.Array:
    """Maps uint8 [N, H, W, C] to (images - mean) / std in float32; both on the scale 0..255.

    Features [N, F], which a feature cache gives in place of images, come as they are, float32.
    """
    if images.ndim == 2:
        return (images - mean) / std
    # Whole rows as one axis: three channels of their own would be computed one by one.
    n, height, width, channels = images.shape
    mean, std = (jnp.tile(jnp.broadcast_to(value, channels), width) for value in (mean, std))
    rows = images.reshape(n, height, width * channels)
    return ((rows.astype(jnp.float32) - mean) / std).reshape(images.shape)

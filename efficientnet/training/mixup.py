"""Mixup and CutMix on the device: each image is mixed with its partner in the reversed batch.

The input pipeline shuffles, so the pairs are random, and reversing the batch moves less data
between devices than a permutation.
"""

import jax
import jax.numpy as jnp


def mix(
    key: jax.Array, images: jax.Array, targets: jax.Array, mixup: float, cutmix: float
) -> tuple[jax.Array, jax.Array]:
    """Mixes a batch by mixup or CutMix, or with equal probability by either if both are on.

    Args:
      key: PRNG key; the same key mixes the same way.
      images: [N, H, W, C].
      targets: [N, classes], class probabilities.
      mixup: alpha of the Beta(alpha, alpha) distribution of the shares; 0 for no mixup.
      cutmix: the same for CutMix.

    Returns:
      images float32, and targets mixed in the same shares.
    """
    choice, key = jax.random.split(key)
    if mixup and cutmix:
        return jax.lax.cond(
            jax.random.bernoulli(choice),
            lambda: _mixup(key, images, targets, mixup),
            lambda: _cutmix(key, images, targets, cutmix),
        )
    if mixup:
        return _mixup(key, images, targets, mixup)
    if cutmix:
        return _cutmix(key, images, targets, cutmix)
    return images, targets


def unmixed(mask: jax.Array, mixup: float, cutmix: float) -> jax.Array:
    """Returns which mixed examples [N] contain nothing of those where `mask` [N] is False."""
    return mask & mask[::-1] if mixup or cutmix else mask


def _mixup(
    key: jax.Array, images: jax.Array, targets: jax.Array, alpha: float
) -> tuple[jax.Array, jax.Array]:
    """Returns a weighted mean of two images (Zhang et al. 2018), with one weight per batch."""
    share = jax.random.beta(key, alpha, alpha)
    # Each pair occurs twice, in both orders: 1 - share would give the same images.
    share = jnp.maximum(share, 1 - share)
    others = images[::-1].astype(jnp.float32)
    mixed = share * images.astype(jnp.float32) + (1 - share) * others
    return mixed, _mean(share, targets)


def _cutmix(
    key: jax.Array, images: jax.Array, targets: jax.Array, alpha: float
) -> tuple[jax.Array, jax.Array]:
    """Pastes a box of one image into another (Yun et al. 2019), one box per batch.

    The box has the image's aspect ratio and 1 - share of its area, and its center is uniform. It is
    clipped to the image; targets are mixed by the remaining area.
    """
    height, width = images.shape[1:3]
    share_key, y_key, x_key = jax.random.split(key, 3)
    side = jnp.sqrt(1 - jax.random.beta(share_key, alpha, alpha))
    rows = _inside(jax.random.uniform(y_key), side, height)
    columns = _inside(jax.random.uniform(x_key), side, width)
    box = rows[:, None] & columns[None, :]
    mixed = jnp.where(box[None, :, :, None], images[::-1], images).astype(jnp.float32)
    return mixed, _mean(1 - jnp.mean(box), targets)


def _inside(center: jax.Array, side: jax.Array, length: int) -> jax.Array:
    """Returns which of `length` pixels are within side / 2 of the center, as shares of length."""
    position = (jnp.arange(length) + 0.5) / length
    return jnp.abs(position - center) < side / 2


def _mean(share: jax.Array, targets: jax.Array) -> jax.Array:
    return share * targets + (1 - share) * targets[::-1]

"""Mixup and CutMix on the device: each photo is mixed with its mirror in the batch's order.

The pipeline has shuffled the batch, so the pairs are random, and reversing the batch moves less
between devices than a permutation does.
"""

import jax
import jax.numpy as jnp


def mix(
    key: jax.Array, images: jax.Array, targets: jax.Array, mixup: float, cutmix: float
) -> tuple[jax.Array, jax.Array]:
    """Mixes a batch by mixup or, where both are on, by either with equal chance.

    Args:
      key: PRNG key; the same key mixes the same way.
      images: [N, H, W, C].
      targets: [N, classes], class probabilities.
      mixup: alpha of the Beta(alpha, alpha) that the shares come from; 0 for no mixup.
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
    """Which mixed examples [N] hold nothing of those where `mask` [N] is False."""
    return mask & mask[::-1] if mixup or cutmix else mask


def _mixup(
    key: jax.Array, images: jax.Array, targets: jax.Array, alpha: float
) -> tuple[jax.Array, jax.Array]:
    """A weighted mean of two photos (Zhang et al. 2018), one weight a batch."""
    share = jax.random.beta(key, alpha, alpha)
    # Each pair comes twice, the other way round: 1 - share would give the same photos.
    share = jnp.maximum(share, 1 - share)
    others = images[::-1].astype(jnp.float32)
    mixed = share * images.astype(jnp.float32) + (1 - share) * others
    return mixed, _mean(share, targets)


def _cutmix(
    key: jax.Array, images: jax.Array, targets: jax.Array, alpha: float
) -> tuple[jax.Array, jax.Array]:
    """A box of one photo pasted into another (Yun et al. 2019), one box a batch.

    The box has the photo's shape and 1 - share of its area, its center is uniform, and what lies
    outside the photo is cut off; targets are mixed by the area that remains.
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
    """Which of `length` pixels lie within side / 2 of the center, both as shares of the length."""
    position = (jnp.arange(length) + 0.5) / length
    return jnp.abs(position - center) < side / 2


def _mean(share: jax.Array, targets: jax.Array) -> jax.Array:
    return share * targets + (1 - share) * targets[::-1]

"""Mixup and CutMix keep pixels and targets in step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from efficientnet.training.mixup import mix

# Photo n is n everywhere, and its target is class n.
IMAGES = jnp.arange(4, dtype=jnp.uint8)[:, None, None, None] * jnp.ones((4, 16, 16, 3), jnp.uint8)
TARGETS = jnp.eye(4)
MIX = jax.jit(mix, static_argnums=(3, 4))
SEEDS = range(10)


def test_without_either_nothing_changes() -> None:
    images, targets = mix(jax.random.key(0), IMAGES, TARGETS, 0.0, 0.0)
    assert images is IMAGES
    assert targets is TARGETS


@pytest.mark.parametrize("alphas", [(0.4, 0.0), (0.0, 1.0), (0.4, 1.0)])
def test_targets_tell_the_mean_of_the_pixels(alphas: tuple[float, float]) -> None:
    for seed in SEEDS:
        images, targets = MIX(jax.random.key(seed), IMAGES, TARGETS, *alphas)
        assert images.dtype == jnp.float32
        np.testing.assert_allclose(jnp.sum(targets, axis=1), 1.0, rtol=1e-6)
        told = targets @ jnp.arange(4.0)
        mean = np.asarray(images, np.float64).mean(axis=(1, 2, 3))
        np.testing.assert_allclose(mean, told, atol=1e-5)


def test_mixup_is_one_share_everywhere_and_mostly_the_photo_itself() -> None:
    for seed in SEEDS:
        images, targets = MIX(jax.random.key(seed), IMAGES, TARGETS, 0.4, 0.0)
        np.testing.assert_allclose(jnp.ptp(images, axis=(1, 2, 3)), 0.0, atol=1e-5)
        assert jnp.all(jnp.argmax(targets, axis=1) == jnp.arange(4))


def test_cutmix_pastes_one_box() -> None:
    shares = []
    for seed in SEEDS:
        images, _ = MIX(jax.random.key(seed), IMAGES, TARGETS, 0.0, 1.0)
        pasted = np.asarray(images[0, :, :, 0]) == 3
        assert np.all(pasted | (np.asarray(images[0, :, :, 0]) == 0))
        assert np.array_equal(pasted, np.outer(pasted.any(axis=1), pasted.any(axis=0)))
        shares.append(pasted.mean())
    assert len(set(shares)) > 5


def test_the_same_key_mixes_the_same_way() -> None:
    first, again, other = (
        MIX(jax.random.key(seed), IMAGES, TARGETS, 0.4, 1.0)[0] for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)

"""What a network called from Python takes, and what it says of all else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from efficientnet.errors import UserError
from efficientnet.inference.network import Network
from efficientnet.network.model import EfficientNet, init_variables
from efficientnet.network.variants import Variant
from efficientnet.weights import Preprocessing

PHOTO = np.arange(40 * 36 * 3, dtype=np.uint8).reshape(40, 36, 3)
BATCH = np.stack([PHOTO, PHOTO[::-1]])


def network_of(channels: int) -> Network:
    module = EfficientNet(Variant(0.1, 0.1, 32, 0.2), num_classes=2)
    shapes = jax.eval_shape(lambda key: init_variables(module, key, channels), jax.random.key(0))
    return Network(
        module=module,
        variables=jax.tree.map(lambda leaf: np.full(leaf.shape, 0.1, np.float32), shapes),
        preprocessing=Preprocessing((127.5,) * channels, (127.5,) * channels),
        class_names=("cat", "dog"),
        resolution=32,
        preparation="resize",
    )


@pytest.fixture(scope="module")
def network() -> Network:
    return network_of(3)


@pytest.mark.parametrize("images", [BATCH, list(BATCH), jnp.asarray(BATCH)])
def test_photos_are_taken_of_any_size_and_in_lists(network: Network, images: object) -> None:
    logits = network(images)  # type: ignore[arg-type]
    assert logits.shape == (2, 2)
    np.testing.assert_allclose(logits, network(BATCH), rtol=1e-5)


EXPECTED = r": expected uint8 \[batch, 32, 32, 3\] from 0 to 255"


@pytest.mark.parametrize(
    ("images", "message"),
    [
        # Floats and ranges.
        (BATCH / 255, rf"float64 \[2, 40, 36, 3\] from 0 to 1{EXPECTED}; the network normalizes"),
        (BATCH / np.float32(127.5) - 1, rf"float32 .* from -1 to 1{EXPECTED}; the network norm"),
        (BATCH.astype(np.float16), rf"float16 .* from 0 to 255{EXPECTED}; the network normalizes"),
        (jnp.asarray(BATCH / 255), rf"float32 .* from 0 to 1{EXPECTED}"),
        (BATCH.astype(np.int64) - 128, rf"int64 .* from -128 to 127{EXPECTED}$"),
        (BATCH.astype(np.uint16) * 257, rf"uint16 .* to 6.554e\+04{EXPECTED}$"),
        (BATCH > 9, rf"bool .*{EXPECTED}$"),
        # Axes and channels.
        (PHOTO, rf"uint8 \[40, 36, 3\] .*{EXPECTED}; a single image is images\[None\]$"),
        (PHOTO[None, None], rf"uint8 \[1, 1, 40, 36, 3\] .*{EXPECTED}$"),
        (
            BATCH.transpose(0, 3, 1, 2),
            r"uint8 \[2, 3, 40, 36\] .*; PyTorch's order .* images.transpose\(0, 2, 3, 1\)$",
        ),
        (
            BATCH.transpose(0, 3, 1, 2) / 255,
            "float64 .*; the network normalizes them itself; PyTorch's order",
        ),
        (BATCH[..., :1], rf"uint8 \[2, 40, 36, 1\] .*{EXPECTED}$"),
        (np.concatenate([BATCH, BATCH[..., :1]], -1), rf"\[2, 40, 36, 4\] .*{EXPECTED}$"),
        (BATCH[:0], rf"uint8 \[0, 40, 36, 3\]{EXPECTED}$"),
        (BATCH[:, :0], rf"uint8 \[2, 0, 36, 3\]{EXPECTED}$"),
        # No arrays at all.
        ([PHOTO, PHOTO[1:]], rf"images are no array \(.*\){EXPECTED}$"),
        ("photo.jpg", rf"{EXPECTED}; scripts/predict.py reads files$"),
        (["a.jpg", "b.jpg"], rf"{EXPECTED}; scripts/predict.py reads files$"),
        (None, rf"object \[\]{EXPECTED}$"),
        ([], rf"float64 \[0\]{EXPECTED}"),
    ],
)
def test_all_else_is_refused_with_what_was_expected(
    network: Network, images: object, message: str
) -> None:
    with pytest.raises(UserError, match=message) as raised:
        network(images)  # type: ignore[arg-type]
    assert str(raised.value).startswith("images are ")


def test_gray_networks_expect_one_channel() -> None:
    with pytest.raises(UserError, match=r"expected uint8 \[batch, 32, 32, 1\]"):
        network_of(1)(BATCH)


def test_what_is_traced_is_checked_too(network: Network) -> None:
    with pytest.raises(UserError, match=rf"float32 \[2, 40, 36, 3\]{EXPECTED}"):
        jax.jit(lambda images: network(images))(BATCH / 255)

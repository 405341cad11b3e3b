"""The compiled sampling and coloring against SciPy and against the operations one by one."""

import numpy as np
import pytest
import scipy.ndimage

from input_pipeline import sampler, warp
from input_pipeline.color import ColorJitter
from input_pipeline.quiet_tensorflow import tf

MATRIX = np.array([[1.4, 0.5, -10.0], [-0.4, 1.2, 12.0], [0, 0, 1]], np.float32)


@pytest.fixture(params=[1, 3])
def image(request):
    noise = np.random.default_rng(2).integers(0, 256, (70, 110, 3)).astype(np.float64)
    smooth = scipy.ndimage.gaussian_filter(noise, (2, 2, 0))
    smooth = 255 * (smooth - smooth.min()) / np.ptp(smooth)
    return smooth.astype(np.uint8)[..., : request.param]


def test_black_beyond_the_image(image):
    result = sampler.sample(tf.constant(image), tf.constant(MATRIX), 40, "black").numpy()
    expected = warp.project(tf.constant(image), tf.constant(MATRIX), 40).numpy()
    assert result.shape == (40, 40, image.shape[-1])
    np.testing.assert_allclose(result, expected, atol=0.51)
    assert (result == 0).any()


def test_the_edge_repeated_beyond_the_image(image):
    result = sampler.sample(tf.constant(image), tf.constant(MATRIX), 40, "edge").numpy()
    y, x = np.mgrid[:40, :40] + 0.5
    points = MATRIX.astype(np.float64) @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    for channel in range(image.shape[-1]):
        expected = scipy.ndimage.map_coordinates(
            image[..., channel].astype(np.float64), points[1::-1] - 0.5, order=1, mode="nearest"
        )
        np.testing.assert_allclose(result[..., channel].ravel(), expected, atol=0.6)


def test_colors_change_as_the_operation_changes_them(image):
    jitter = ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4)
    draws = tf.constant([0.9, 0.2, 0.8, 0.0])
    result = sampler.sample(
        tf.constant(image), tf.constant(MATRIX), 40, "edge", jitter.factors(draws)
    ).numpy()
    plain = sampler.sample(tf.constant(image), tf.constant(MATRIX), 40, "edge")
    expected = jitter.apply(tf.cast(plain, tf.float32), draws, tf.zeros([2], tf.int64)).numpy()
    np.testing.assert_allclose(result, expected, atol=0.51)
    assert abs(result - plain.numpy().astype(int)).mean() > 5


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (64, 64), (65, 63)])
def test_images_of_any_size(size):
    image = np.arange(size[0] * size[1] * 3).reshape(*size, 3) % 256
    unit = np.diag([size[1] / 8, size[0] / 8, 1]).astype(np.float32)
    result = sampler.sample(tf.constant(image, tf.uint8), tf.constant(unit), 8, "edge").numpy()
    assert result.min() >= image.min()
    assert result.max() <= image.max()

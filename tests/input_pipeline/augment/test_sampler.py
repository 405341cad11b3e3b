"""Sampling against SciPy and TensorFlow."""

import numpy as np
import pytest
import scipy.ndimage

from input_pipeline.augment import sampling
from input_pipeline.quiet_tensorflow import tf

MATRIX = np.array([[0.9, 0.4, -6.0], [-0.3, 0.95, 12.0], [0, 0, 1]], np.float32)


@pytest.fixture(params=[1, 3])
def image(request):
    noise = np.random.default_rng(2).integers(0, 256, (70, 110, 3)).astype(np.float64)
    smooth = scipy.ndimage.gaussian_filter(noise, (2, 2, 0))
    smooth = 255 * (smooth - smooth.min()) / np.ptp(smooth)
    return smooth.astype(np.uint8)[..., : request.param]


def sample(image, matrix, *arguments):
    return sampling.sample(image, tuple(map(tuple, matrix[:2].tolist())), *arguments)


def project(image):
    """What TensorFlow makes of an image by MATRIX: float32 [40, 40, channels], black outside."""
    # From corners of pixels to their centers, which the operation counts from 0.
    shift = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=image.astype(np.float32)[None],
        transforms=(np.linalg.inv(shift) @ MATRIX @ shift).reshape(1, 9)[:, :8].astype(np.float32),
        output_shape=[40, 40],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )[0].numpy()


def test_black_beyond_the_image(image):
    result = sample(image, MATRIX, 40, (0, 0, 0))
    expected = project(image)
    assert result.shape == (40, 40, image.shape[-1])
    np.testing.assert_allclose(result, expected, atol=0.51)
    assert (result == 0).any()


def test_the_edge_repeated_beyond_the_image(image):
    result = sample(image, MATRIX, 40)
    y, x = np.mgrid[:40, :40] + 0.5
    points = MATRIX.astype(np.float64) @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    for channel in range(image.shape[-1]):
        expected = scipy.ndimage.map_coordinates(
            image[..., channel].astype(np.float64), points[1::-1] - 0.5, order=1, mode="nearest"
        )
        np.testing.assert_allclose(result[..., channel].ravel(), expected, atol=0.6)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (64, 64), (65, 63)])
def test_images_of_any_size(size):
    image = (np.arange(size[0] * size[1] * 3).reshape(*size, 3) % 256).astype(np.uint8)
    unit = np.diag([size[1] / 8, size[0] / 8, 1]).astype(np.float32)
    result = sample(image, unit, 8)
    assert result.min() >= image.min()
    assert result.max() <= image.max()


@pytest.mark.parametrize("step", [1.2, 1.6, 2.1])
def test_what_shrinks_is_as_soft_as_antialiased_resizing(image, step):
    noise = np.random.default_rng(3).integers(0, 256, image.shape).astype(np.uint8)
    height, width = round(70 / step), round(110 / step)
    target = min(height, width)
    unit = np.diag([step, step, 1]).astype(np.float32)
    result = sample(noise, unit, target)
    resized = tf.image.resize(noise, [height, width], antialias=True).numpy()
    expected = resized[:target, :target]
    assert abs(result.std() / expected.std() - 1) < 0.15
    assert np.corrcoef(result.ravel(), expected.ravel())[0, 1] > 0.9


def test_a_mirrored_window_is_the_mirrored_image(image):
    height, width = image.shape[:2]
    for x, y in ((1, -1), (-1, 1), (-1, -1)):
        scales = np.array([x * width / 32, y * height / 32])
        offsets = np.where(scales < 0, [width, height], 0)
        matrix = np.eye(3, dtype=np.float32)
        matrix[:2] = np.c_[np.diag(scales), offsets]
        result = sample(image, matrix, 32)
        plain = np.diag([width / 32, height / 32, 1]).astype(np.float32)
        plain = sample(image, plain, 32)
        np.testing.assert_allclose(result, plain[::y, ::x].astype(int), atol=1)

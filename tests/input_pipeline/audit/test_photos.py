import io

import cv2
import numpy as np
import pytest
from PIL import Image

from input_pipeline.audit.photos import measure, shrunk


def encoded(pixels: np.ndarray, kind: str = "JPEG", **options) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


@pytest.fixture
def pixels() -> np.ndarray:
    """Fine and coarse structure, 300 x 420."""
    rng = np.random.default_rng(0)
    coarse = cv2.resize(rng.integers(0, 256, (30, 42, 3)).astype(np.uint8), (420, 300))
    return cv2.addWeighted(coarse, 0.7, rng.integers(0, 256, coarse.shape).astype(np.uint8), 0.3, 0)


def test_a_good_photo_has_no_flaw_whatever_its_format(pixels):
    for kind in ("JPEG", "PNG", "WEBP", "BMP"):
        measured = measure(encoded(pixels, kind))
        assert (measured.height, measured.width) == (300, 420)
        assert measured.format == kind
        assert measured.flaw == ""


def test_flaws_are_named(pixels):
    assert measure(encoded(cv2.GaussianBlur(pixels, (0, 0), 4))).flaw == "blurred"
    assert measure(encoded(pixels // 12)).flaw == "dark"
    assert measure(encoded(np.full_like(pixels, 250))).flaw == "nearly empty"
    assert measure(encoded(np.zeros_like(pixels))).flaw == "dark"
    small = cv2.resize(cv2.GaussianBlur(pixels, (0, 0), 4), (50, 40))
    assert measure(encoded(small)).flaw == "", "too small to be called blurred"


def test_a_turned_photo_has_the_size_that_viewers_show(pixels):
    exif = Image.Exif()
    exif[0x0112] = 6
    measured = measure(encoded(pixels, exif=exif))
    assert (measured.height, measured.width) == (420, 300)


def test_a_large_jpeg_is_measured_like_a_small_one(pixels):
    large = cv2.resize(pixels, (2100, 1500), interpolation=cv2.INTER_CUBIC)
    one, two = measure(encoded(large)), measure(encoded(pixels))
    assert (one.height, one.width) == (1500, 2100)
    difference = one.thumbnail.astype(int) - two.thumbnail
    assert np.abs(difference).max() < 12
    assert abs(one.contrast - two.contrast) < 2


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_cut_off_photo_is_broken_at_any_size(pixels, kind):
    for size in ((420, 300), (1050, 750)):
        content = encoded(cv2.resize(pixels, size), kind)
        with pytest.raises(OSError, match=r"cut off|damaged"):
            measure(content[: len(content) // 2])


def test_a_thin_photo_keeps_a_pixel():
    image, height, width = shrunk(encoded(np.full((3000, 2, 3), 9, np.uint8), "PNG"), 3, 160)
    assert (height, width) == (3000, 2)
    assert image.shape[1] == 2
    assert measure(encoded(np.full((1, 1, 3), 9, np.uint8), "PNG")).flaw == "dark"

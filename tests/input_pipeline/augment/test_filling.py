"""What fills the part of the result that shows what is outside of a photo."""

import io

import numpy as np
import pytest
import scipy.ndimage
from augmented import PHOTO, augmented, evaluate, square
from PIL import Image, ImageOps

import input_pipeline
from efficientnet.errors import UserError
from input_pipeline import decode, order
from input_pipeline.augment.augmentation import Augmentation

SHAPES = [(120, 90), (61, 200), (33, 33), (400, 1), (1, 1)]


@pytest.mark.parametrize("size", SHAPES)
@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
@pytest.mark.parametrize("resolution", [32, 111])
def test_pad_is_that_of_pillow(size, method, resolution):
    photo = PHOTO.resize(size)
    square = (resolution, resolution)
    # Pillow leaves nothing of a photo that would be less than a pixel wide.
    expected = ImageOps.pad(photo, square, Image.Resampling[method.upper()], color=(250, 7, 90))
    result = evaluate(f"pad((250, 7, 90), {method!r})", resolution, photo)
    if min(size) > 1 or size == (1, 1):
        np.testing.assert_array_equal(result, expected)
    else:
        assert (result != (250, 7, 90)).any(-1).sum() == resolution


@pytest.mark.parametrize("size", SHAPES[:-2])
def test_pad_repeats_the_edge_or_shows_the_middle_out_of_focus(size):
    photo = PHOTO.resize(size)
    small = np.asarray(ImageOps.contain(photo, (64, 64), Image.Resampling.BILINEAR))
    tall, wide, _ = small.shape
    top, left = round((64 - tall) / 2), round((64 - wide) / 2)
    around = (top, 64 - tall - top), (left, 64 - wide - left), (0, 0)
    edge = evaluate("pad", 64, photo)
    np.testing.assert_array_equal(edge, np.pad(small, around, "edge"))
    middle = ImageOps.fit(Image.fromarray(small), (16, 16), Image.Resampling.BILINEAR)
    expected = np.array(middle.resize((64, 64), Image.Resampling.BILINEAR), int)
    expected[top : top + tall, left : left + wide] = small
    np.testing.assert_allclose(evaluate("pad('blur')", 64, photo), expected, atol=1)


def test_what_is_padded_is_gray_in_gray_photos():
    image = np.full((20, 40, 1), 90, np.uint8)
    for fill, level in (((255, 0, 0), 76), (7, 7), ("'edge'", 90), ("'blur'", 90)):
        for chance in ("", "|rotate(0)|flip_left_right"):
            augmentation = Augmentation(f"pad({fill}){chance}", 40, channels=1)
            result = augmentation(image, [0.5] * augmentation.draws, (0, 0))
            assert result.shape == (40, 40, 1)
            assert (result[:9] == level).all()
            assert (result[11:29] == 90).all()


@pytest.mark.parametrize("fill", ["'edge'", "'blur'", "(255, 0, 9)"])
@pytest.mark.parametrize("size", [(480, 360), (200, 600), (90, 61)])
def test_training_pads_as_evaluation_does(fill, size):
    stream = io.BytesIO()
    PHOTO.resize(size, Image.Resampling.BICUBIC).save(stream, "JPEG", quality=95)
    photo = stream.getvalue()
    exact = augmented(f"pad({fill})", 128, photo).astype(int)
    for text in ("flip_left_right(0)", "affine|flip_left_right(0)", "color_jitter(1e-9)"):
        result = augmented(f"pad({fill})|{text}", 128, photo)
        assert abs(result - exact).mean() < 1.5
        # Not by a pixel's width is the photo's place another.
        assert (abs(result - exact).max(-1) > 60).mean() < 0.004
    mirrored = augmented(f"pad({fill})|flip_left_right(1.0)", 128, photo)
    assert abs(mirrored[:, ::-1] - exact).mean() < 1.5


def test_what_turning_brings_into_view_is_padded_too():
    green = Image.new("RGB", (80, 40), (0, 255, 0))
    for fill, corner in (("(255, 0, 0)", (255, 0, 0)), ("'edge'", (0, 255, 0))):
        result = evaluate(f"pad({fill})|rotate(80)|translate(0.5)", 40, green)
        assert (result[..., 2] == 0).all()
        assert (result.sum(-1).astype(int) >= 254).all(), "nothing is black"
        assert (result == corner).all(-1).any()


@pytest.mark.parametrize("fill", ["'edge'", "'blur'", "(255, 0, 9)"])
def test_a_window_of_a_padded_photo_shows_nothing_of_where_it_was_cut(fill, monkeypatch):
    monkeypatch.setattr(decode, "WORTH_CUTTING", 0)
    stream = io.BytesIO()
    PHOTO.resize((240, 180), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=95)
    photo = stream.getvalue()
    for number in range(8):
        text = f"pad({fill})|random_resized_crop(scale=(0.1, 0.4))"
        cut = augmented(text, 128, photo, (1, number)).astype(int)
        whole = augmented(text, 128, decode.decode(photo, 3), (1, number))
        assert abs(cut - whole)[1:-1, 1:-1].max() <= 3


@pytest.mark.parametrize("text", ["rotate(180, fill='reflect')", "translate(0.9, fill='reflect')"])
def test_what_comes_into_view_is_the_photo_mirrored_at_its_edge(text):
    pixels = np.asarray(PHOTO.resize((64, 64), Image.Resampling.BICUBIC))
    for number in range(4):
        augmentation = Augmentation(text, 64)
        draws = order.uniform(0, np.array([number]), augmentation.draws)[0].tolist()
        (operation,) = input_pipeline.parse(text)
        matrix = square(operation.pull_back((64, 64), 64, draws)[0])
        y, x = np.mgrid[:64, :64] + 0.5
        points = matrix @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
        # Periodic, mirrored at 0 and 64.
        folded = 64 - abs(64 - points[:2] % 128)
        inside = np.clip(folded - 0.5, 0, 63)
        expected = np.stack(
            [
                scipy.ndimage.map_coordinates(pixels[..., c].astype(float), inside[::-1], order=1)
                for c in range(3)
            ],
            -1,
        ).reshape(64, 64, 3)
        result = augmentation(pixels, draws, (0, number)).astype(int)
        assert abs(result - expected).mean() < 1.5
        assert (abs(result - expected).max(-1) > 12).mean() < 0.01


def test_a_window_that_reflects_shows_what_was_not_cut(monkeypatch):
    monkeypatch.setattr(decode, "WORTH_CUTTING", 0)
    stream = io.BytesIO()
    PHOTO.resize((240, 180), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=95)
    for number in range(4):
        text = "rotate(54, fill='reflect')|translate(0.4, fill='reflect')|flip_up_down"
        cut = augmented(text, 128, stream.getvalue(), (1, number)).astype(int)
        whole = augmented(text, 128, decode.decode(stream.getvalue(), 3), (1, number))
        assert abs(cut - whole).max() <= 3


@pytest.mark.parametrize(
    "text",
    [
        "rotate(9, fill='reflect')|translate(0.1)",
        "pad|rotate(9, fill='reflect')",
        "affine(9)|resize|rotate(5, fill='reflect')",
    ],
)
def test_one_warp_fills_in_one_way(text):
    with pytest.raises(UserError, match="fill what is outside it in one way"):
        Augmentation(text, 32)
    with pytest.raises(UserError, match="augmentation rotate: fill='mirror' should be one of bl"):
        Augmentation("rotate(9, fill='mirror')", 32)

"""Each change of colors against Pillow, or against NumPy where Pillow has none."""

import colorsys

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

import input_pipeline
from input_pipeline.augment import augmentation, color, policies

COLORS = np.random.default_rng(0).integers(0, 256, (5, 6, 3)).astype(np.uint8)
PHOTO = Image.fromarray(COLORS).resize((48, 48), Image.Resampling.BICUBIC)
SEED = (3, 4)


def apply(text, draws, image=PHOTO):
    (operation,) = input_pipeline.parse(text)
    assert operation.draws == len(draws)
    pixels = np.asarray(image).reshape(*image.size[::-1], -1)
    result = operation.apply(pixels, draws, SEED)
    assert result.dtype == np.uint8
    assert result.shape == pixels.shape
    return result.astype(int)


@pytest.mark.parametrize("draw", [0.0, 0.25, 0.9])
@pytest.mark.parametrize(
    ("text", "place", "enhance"),
    [
        ("brightness(0.5)", 0, ImageEnhance.Brightness),
        ("contrast(0.5)", 1, ImageEnhance.Contrast),
        ("saturation(0.5)", 2, ImageEnhance.Color),
    ],
)
def test_single_factors_are_those_of_pillow(text, place, enhance, draw):
    draws = [0.5, 0.5, 0.5, 0.5]
    draws[place] = draw
    expected = enhance(PHOTO).enhance(0.5 + draw)
    np.testing.assert_allclose(apply(text, draws), np.asarray(expected, int), atol=1.6)


def test_color_jitter_is_one_affine_map_of_the_three():
    draws = [0.9, 0.2, 0.7, 0.5]
    photo = np.asarray(PHOTO, np.float64)
    luma = np.array([0.299, 0.587, 0.114])
    expected = photo * 1.08
    expected = 0.94 * expected + 0.06 * (expected @ luma).mean()
    expected = 1.04 * expected - 0.04 * (expected @ luma)[..., None]
    result = apply("color_jitter(0.1, 0.1, 0.1)", draws)
    # Half a gray level is lost where it is rounded, and OpenCV's weights have 10 bits.
    np.testing.assert_allclose(result, expected.clip(0, 255), atol=0.5 + 3 * 255 / 2**11)
    assert abs(result - photo).mean() > 2, "it really jitters"


@pytest.mark.parametrize("draw", [0.0, 0.6])
def test_hue_turns_the_color_circle(draw):
    expected = []
    for red, green, blue in np.asarray(PHOTO).reshape(-1, 3) / 255:
        hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
        expected.append(colorsys.hsv_to_rgb((hue + (2 * draw - 1) * 0.2) % 1, saturation, value))
    result = apply("hue(0.2)", [0.5, 0.5, 0.5, draw])
    np.testing.assert_allclose(result, 255 * np.reshape(expected, (48, 48, 3)), atol=0.51)


def test_grayscale_keeps_three_channels():
    np.testing.assert_allclose(
        apply("grayscale(0.4)", [0.3]),
        np.repeat(np.asarray(PHOTO.convert("L"), int)[..., None], 3, 2),
        atol=1,
    )
    np.testing.assert_array_equal(apply("grayscale(0.4)", [0.5]), np.asarray(PHOTO))


def test_gaussian_noise_has_its_deviation_and_its_seed():
    gray = Image.new("RGB", (64, 64), (128, 128, 128))
    noise = apply("gaussian_noise(std=10)", [], gray) - 128
    assert abs(noise.mean()) < 0.3
    assert abs(noise.std() - 10) < 0.3
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.05
    np.testing.assert_array_equal(apply("gaussian_noise(std=10)", [], gray) - 128, noise)


def test_down_up_sample_loses_detail():
    small = PHOTO.resize((16, 16), Image.Resampling.BILINEAR)
    expected = np.asarray(small.resize((48, 48), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(apply("down_up_sample((1, 5))", [0.5]), expected)
    np.testing.assert_array_equal(apply("down_up_sample((1, 5))", [0.0]), PHOTO)


def test_random_erasing_covers_a_rectangle_of_the_drawn_size():
    text = "random_erasing(probability=0.5, scale=(0.1, 0.2), ratio=(0.5, 2.0), fill=77)"
    result = apply(text, [0.4, 0.5, 0.5, 0.99, 0.0])
    side = round((0.15 * 48 * 48) ** 0.5)
    expected = np.asarray(PHOTO).copy()
    expected[48 - side :, :side] = 77
    np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(apply(text, [0.6, 0.5, 0.5, 0.5, 0.5]), np.asarray(PHOTO))


def pil_affine(*coefficients):
    fill = (128, 128, 128)
    return lambda image: image.transform(
        image.size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR, fillcolor=fill
    )


REFERENCES = {
    "identity": lambda image: image,
    "autocontrast": ImageOps.autocontrast,
    "equalize": ImageOps.equalize,
    "invert": ImageOps.invert,
    "solarize": lambda image: ImageOps.solarize(image, 128),
    "posterize": lambda image: ImageOps.posterize(image, 6),
    "color": lambda image: ImageEnhance.Color(image).enhance(1.45),
    "contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.45),
    "brightness": lambda image: ImageEnhance.Brightness(image).enhance(1.45),
    "sharpness": lambda image: ImageEnhance.Sharpness(image).enhance(1.45),
    "rotate": lambda image: image.rotate(15, Image.Resampling.BILINEAR, fillcolor=(128, 128, 128)),
    "shear_x": pil_affine(1, 0.15, 0, 0, 1, 0),
    "shear_y": pil_affine(1, 0, 0, 0.15, 1, 0),
    "shift_x": pil_affine(1, 0, 75 / 331 * 48, 0, 1, 0),
    "shift_y": pil_affine(1, 0, 0, 0, 1, 75 / 331 * 48),
}


MOVED = ("rotate", "shear_x", "shear_y", "shift_x", "shift_y")
# What Pillow cuts off they round.
BLENDED = ("color", "sharpness")


@pytest.mark.parametrize("size", [(48, 48), (40, 31)])
@pytest.mark.parametrize("name", [n for n in REFERENCES if n not in MOVED])
def test_single_changes_are_those_of_pillow(name, size):
    photo = PHOTO.resize(size)
    result = policies.WITH_INVERT[name](np.asarray(photo), 0.5, 1)
    expected = np.asarray(REFERENCES[name](photo), int)
    np.testing.assert_allclose(result, expected, atol=1 if name in BLENDED else 0)


@pytest.mark.parametrize("factor", [0.1, 0.37, 1.0, 1.9])
@pytest.mark.parametrize("name", ["brightness", "contrast"])
def test_tables_of_factors_are_those_of_pillow(name, factor):
    result = policies.CHANGES[name](np.asarray(PHOTO), (factor - 1) / 0.9, 1)
    expected = getattr(ImageEnhance, name.capitalize())(PHOTO).enhance(factor)
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(
    ("name", "size"), [*((name, (48, 48)) for name in MOVED), ("rotate", (70, 50))]
)
def test_single_moves_are_those_of_pillow(name, size):
    photo = PHOTO.resize(size)
    result = policies.CHANGES[name](np.asarray(photo), 0.5, 1)
    expected = np.asarray(REFERENCES[name](photo), int)
    different = abs(result - expected).max(-1) > 2
    # Pillow fills where a point is outside, and does not blend at the border.
    assert different.mean() < (0.03 if name.startswith("shift") else 0.06)


@pytest.mark.parametrize("level", [0, 77, 255])
@pytest.mark.parametrize("name", ["autocontrast", "equalize"])
def test_one_level_stays_as_it_is(name, level):
    image = np.full((5, 7, 3), level, np.uint8)
    np.testing.assert_array_equal(policies.CHANGES[name](image, 0.5, 1), image)


def test_sharpness_smooths_as_pillow_does():
    smooth = np.asarray(PHOTO.filter(ImageFilter.SMOOTH), np.float32)
    result = policies._sharpness(np.asarray(PHOTO), 1 / 0.9, -1)
    np.testing.assert_allclose(result, smooth, atol=0.6)


def test_rand_augment_draws_each_change():
    results = set()
    for which in range(14):
        result = apply("rand_augment(layers=1, magnitude=15)", [(which + 0.5) / 14, 0.0])
        results.add(result.tobytes())
    assert len(results) == 14


def test_auto_augment_follows_its_policy():
    def expect(draws, image):
        result = apply("auto_augment", draws)
        np.testing.assert_array_equal(result, image)

    # Pair 14: invert with probability 0.6, then equalize always.
    expect([13.5 / 25, 0.5, 0.0, 0.9, 0.0], ImageOps.equalize(ImageOps.invert(PHOTO)))
    expect([13.5 / 25, 0.7, 0.0, 0.9, 0.0], ImageOps.equalize(PHOTO))
    # Pair 4: posterize of magnitude 7, then 6, each to 8 - 3 bits, with probability 0.6.
    expect([3.5 / 25, 0.5, 0.0, 0.9, 0.0], ImageOps.posterize(PHOTO, 5))
    expect([3.5 / 25, 0.9, 0.0, 0.9, 0.0], PHOTO)


@pytest.mark.parametrize(
    "text",
    [
        "rand_augment(layers=4)|auto_augment",
        "hue|saturation|grayscale(1)",
        "gaussian_noise|down_up_sample|random_erasing(1)",
    ],
)
def test_gray_images_can_be_changed_too(text, photos):
    loader = input_pipeline.Loader(photos, batch_size=8, resolution=12, channels=1, augment=text)
    (batch,) = loader.train(0, 1)
    assert batch["image"].shape == (8, 12, 12, 1)


def test_what_is_read_stays_as_it_is():
    photo = np.asarray(PHOTO).copy()
    photo.setflags(write=False)
    for text in input_pipeline.OPS:
        spec = "color_jitter(0.1)" if text == "color_jitter" else text
        if isinstance(input_pipeline.parse(spec)[0], color.Photometric):
            pipeline = augmentation.Augmentation(f"{spec}|flip_left_right", 48)
            for draws in np.random.default_rng(0).random((5, pipeline.draws)).tolist():
                pipeline(photo, draws, (0, 0))
    np.testing.assert_array_equal(photo, PHOTO)


def test_each_of_two_jitters_counts():
    photo = np.asarray(PHOTO)
    both = augmentation.Augmentation("resize|brightness(0.5)|contrast(0.5)", 48)
    one = augmentation.Augmentation("resize|brightness(0.5)", 48)
    draws = [0.1, 0.5, 0.5, 0.5, 0.5, 0.9, 0.5, 0.5]
    brightened = one(photo, draws[:4], SEED)
    expected = input_pipeline.parse("contrast(0.5)")[0].apply(brightened, draws[4:], SEED)
    np.testing.assert_array_equal(both(photo, draws, SEED), expected)
    assert brightened.mean() < photo.mean() - 10


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("draw", [0.0, 0.3, 1.0])
def test_channel_contrast_is_about_each_channels_mean(draw, channels):
    photo = (np.asarray(PHOTO, float) // 2 + [20, 60, 120])[..., :channels]
    image = Image.fromarray(photo.astype(np.uint8).squeeze())
    means = photo.mean((0, 1))
    expected = (photo - means) * (0.6 + 0.8 * draw) + means
    result = apply("channel_contrast(0.4)", [draw], image)
    np.testing.assert_allclose(result, expected.clip(0, 255), atol=0.6)
    if channels == 3:
        luma = apply("contrast(0.4)", [0.5, draw, 0.5, 0.5], image)
        assert abs(luma - result).max() > 2, "about the luma it is another"


def test_channel_brightness_has_a_factor_for_each_channel():
    photo = np.asarray(PHOTO, float)
    result = apply("channel_brightness(0.5)", [0.0, 0.5, 0.9])
    expected = photo * [0.5, 1.0, 1.4]
    np.testing.assert_allclose(result, expected.clip(0, 255), atol=0.6)
    gray = apply("channel_brightness(0.5)", [0.0, 0.5, 0.9], PHOTO.convert("L"))
    np.testing.assert_allclose(gray[..., 0], np.asarray(PHOTO.convert("L")) * 0.5, atol=0.6)

"""Each operation's matrix against its definition, and the one warp against Pillow and SciPy."""

import io
import math

import numpy as np
import pytest
import scipy.ndimage
from augmented import PHOTO, augmented, evaluate, square
from PIL import Image

import input_pipeline
from efficientnet.errors import UserError
from input_pipeline import decode
from input_pipeline.augment import geometry, sampling
from input_pipeline.augment.augmentation import Augmentation
from input_pipeline.quiet_tensorflow import tf

SIZE = (90, 120)


def rows(matrix):
    return tuple(map(tuple, matrix[:2].tolist()))


def pull_back(operation, draws, target=32):
    matrix, size = operation.pull_back(SIZE, target, draws)
    return square(matrix), size


@pytest.mark.parametrize("resolution", [32, 200])
@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
def test_resize_is_that_of_pillow(method, resolution):
    kind = Image.Resampling[method.upper()]
    expected = np.asarray(PHOTO.resize((resolution, resolution), kind), int)
    result = evaluate(f"resize(method={method!r})", resolution)
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("resolution", [32, 200])
@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
def test_a_window_is_resized_as_tensorflow_does(method, resolution):
    box = (10.0, 5.25, 103.5, 81.0)
    zoom = np.array([resolution / (box[3] - box[1]), resolution / (box[2] - box[0])], np.float32)
    for antialias, ours in ((True, sampling.resize), (False, sampling.interpolate)):
        expected = tf.raw_ops.ScaleAndTranslate(
            images=np.asarray(PHOTO)[None],
            size=[resolution, resolution],
            scale=zoom,
            translation=-np.array(box[1::-1], np.float32) * zoom,
            kernel_type={"bilinear": "triangle", "bicubic": "keyscubic"}[method],
            antialias=antialias,
        )[0]
        result = ours(np.asarray(PHOTO), resolution, resolution, method, box)
        # Pillow rounds twice, after each direction.
        atol = 1.6 if antialias else 0.51
        np.testing.assert_allclose(result, np.clip(expected, 0, 255), atol=atol)


def test_resize_without_antialias_samples_between_two_pixels():
    line = Image.fromarray(np.tile(np.array([[0, 100, 200, 240]], np.uint8).repeat(4, 1), (16, 1)))
    result = evaluate("resize(antialias=False)", 4, line)
    assert list(result[0, :, 0]) == [0, 100, 200, 240]


def test_center_crop_is_the_central_square():
    expected = PHOTO.crop((24, 9, 96, 81)).resize((32, 32), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(evaluate("center_crop(0.8)"), np.asarray(expected, int), atol=2)


def test_random_resized_crop_draws_area_ratio_and_place():
    operation = geometry.RandomResizedCrop(scale=(0.2, 0.6), ratio=(0.5, 2.0))
    draws = [0.5] * 20 + [0.999, 0.0]
    matrix, size = pull_back(operation, draws)
    height = width = round(math.sqrt(0.4 * 90 * 120))
    expected = [[width / 32, 0, 0], [0, height / 32, 90 - height], [0, 0, 1]]
    np.testing.assert_allclose(matrix, expected, atol=1e-4)
    assert size == (32, 32)


def test_random_resized_crop_tries_again_and_falls_back():
    operation = geometry.RandomResizedCrop(scale=(0.9, 1.0), ratio=(0.5, 1.5))
    draws = np.full(22, 0.0)
    draws[2] = 0.5  # the third area, 0.95,
    draws[12] = 0.924  # with a ratio that fits it into 120x90
    matrix, _ = pull_back(operation, draws)
    ratio = math.exp(math.log(0.5) + 0.924 * (math.log(1.5) - math.log(0.5)))
    width = round(math.sqrt(0.95 * 90 * 120 * ratio))
    np.testing.assert_allclose(matrix[0, 0], width / 32, rtol=1e-5)
    never = geometry.RandomResizedCrop(scale=(1.0, 1.0), ratio=(0.5, 1.0))
    matrix, _ = pull_back(never, np.full(22, 0.0))
    np.testing.assert_allclose(matrix, [[90 / 32, 0, 15], [0, 90 / 32, 0], [0, 0, 1]], atol=1e-4)


def test_random_resized_crop_cuts_before_it_resizes():
    text = "random_resized_crop(scale=(0.3, 0.3), ratio=(1.0, 1.0))"
    stream = io.BytesIO()
    PHOTO.save(stream, "PNG")
    result = augmented(text, 64, stream.getvalue(), (1, 2))
    side = round(math.sqrt(0.3 * 90 * 120))
    crops = [
        np.asarray(PHOTO.crop((x, y, x + side, y + side)).resize((64, 64), 2), int)
        for y in range(90 - side + 1)
        for x in range(120 - side + 1)
    ]
    assert min(abs(result.astype(int) - crop).max() for crop in crops) <= 2


def test_flips():
    for operation, flipped in (
        (geometry.FlipLeftRight(0.4), [[-1, 0, 120], [0, 1, 0], [0, 0, 1]]),
        (geometry.FlipUpDown(0.4), [[1, 0, 0], [0, -1, 90], [0, 0, 1]]),
    ):
        np.testing.assert_array_equal(pull_back(operation, [0.3])[0], flipped)
        np.testing.assert_array_equal(pull_back(operation, [0.4])[0], np.eye(3))
    result = evaluate("flip_left_right(1.0)|flip_up_down(1.0)")
    np.testing.assert_allclose(result, evaluate("resize")[::-1, ::-1].astype(int), atol=1)


def test_affine_is_the_inverse_of_shear_turn_zoom_and_shift():
    operation = geometry.Affine(rotate=25, translate=0.1, scale=(0.9, 1.1), shear=8)
    draws = np.array([0.9, 0.2, 0.7, 0.25, 0.1])
    matrix, size = pull_back(operation, draws)
    angle, shear = math.radians(0.8 * 25), math.radians(-0.8 * 8)
    zoom = 0.95
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    linear = zoom * turn @ np.array([[1, -math.tan(shear)], [0, 1]])
    center = np.array([60, 45])
    shift = np.array([0.4 * 0.1 * 120, -0.6 * 0.1 * 90])
    for point in ((0.0, 0.0), (120.0, 0.0), (33.0, 77.0)):
        moved = center + shift + linear @ (np.array(point) - center)
        np.testing.assert_allclose(matrix @ [*moved, 1], [*point, 1], atol=1e-3)
    assert size == (90, 120)


def test_rotate_and_translate_are_affine_alone():
    for one, same in (
        (geometry.Rotate(30), geometry.Affine(rotate=30)),
        (geometry.Translate(0.2), geometry.Affine(translate=0.2)),
    ):
        draws = [0.1, 0.2, 0.3, 0.4, 0.5]
        np.testing.assert_array_equal(pull_back(one, draws)[0], pull_back(same, draws)[0])


def test_operations_compose_into_one_matrix():
    text = "flip_left_right|random_resized_crop(scale=(0.5, 1.0))|affine(25, 0.1, (0.9, 1.1), 8)"
    operations = input_pipeline.parse(text)
    draws = np.random.default_rng(0).random(1 + 22 + 5)
    result = square(geometry.compose(operations, SIZE, 32, draws))
    expected, size, used = np.eye(3), SIZE, 0
    for operation in operations:
        step, size = operation.pull_back(size, 32, draws[used : used + operation.draws])
        expected, used = expected @ square(step), used + operation.draws
    np.testing.assert_allclose(result, expected, atol=1e-3)


def reference_warp(image, matrix, target):
    y, x = np.mgrid[:target, :target] + 0.5
    points = matrix @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    return np.stack(
        [
            scipy.ndimage.map_coordinates(
                channel, [points[1] - 0.5, points[0] - 0.5], order=1, mode="constant"
            ).reshape(target, target)
            for channel in np.moveaxis(image.astype(np.float64), -1, 0)
        ],
        -1,
    )


def test_projection_samples_bilinearly_with_black_outside():
    matrix = np.array([[1.4, 0.5, -10.0], [-0.4, 1.2, 12.0], [0, 0, 1]], np.float32)
    image = np.asarray(PHOTO)
    result = sampling.warp(image, rows(matrix), 64, 64, (0, 0, 0)).astype(int)
    expected = reference_warp(image, matrix, 64)
    different = abs(result - expected).max(-1) > 2
    # The two differ in how far beyond the border a point still sees the image.
    assert different.mean() < 0.03
    assert (result == 0).all(-1).mean() > 0.03


def test_projection_does_not_alias():
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    turn = np.array([[7.9, 0.2, 0], [-0.2, 7.9, 0], [0, 0, 1]], np.float32)
    result = sampling.sample(stripes, rows(turn), 30, (0, 0, 0))
    np.testing.assert_allclose(result[2:-2, 2:-2], 127.5, atol=6)


@pytest.mark.parametrize("scale", [0.5, 1.3, 2.6, 5.0, 9.0])
@pytest.mark.parametrize("cut", [True, False])
def test_a_decoded_window_is_the_photo_seen_through_the_warp(scale, cut, monkeypatch):
    monkeypatch.setattr(decode, "WORTH_CUTTING", 0 if cut else 1e9)
    photo = PHOTO.resize((480, 360), Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    photo.save(stream, "JPEG", quality=95)
    matrix = np.array([[scale, 0.1, 100], [-0.1, scale, 60], [0, 0, 1]], np.float32)
    target = int(200 / scale)
    pixels, moved = decode.decode_window(stream.getvalue(), 3, lambda *_: rows(matrix), target, 1)
    result, expected = (
        sampling.warp(image, place, target, target, (0, 0, 0)).astype(int)
        for image, place in ((pixels, moved), (np.asarray(photo), rows(matrix)))
    )
    assert abs(result - expected).mean() < 3
    area = pixels.shape[0] * pixels.shape[1]
    assert area < (1.2 * (200 + 30) ** 2 if cut else 480 * 360 + 1)
    if scale >= 2:
        assert area < 0.3 * (210**2 if cut else 480 * 360)


def test_training_sees_what_evaluation_sees():
    stream = io.BytesIO()
    PHOTO.resize((480, 360), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=95)
    photo = stream.getvalue()
    for resolution in (64, 128, 300):
        exact = augmented("resize", resolution, photo).astype(int)
        for text in ("resize|flip_left_right(0)", "resize|affine|flip_left_right(0)"):
            result = augmented(text, resolution, photo)
            assert abs(result - exact).mean() < 1


def test_a_resize_in_training_does_not_alias():
    stripes = np.zeros((64, 96, 3), np.uint8)
    stripes[:, ::2] = 255
    stream = io.BytesIO()
    Image.fromarray(stripes).save(stream, "PNG")
    result = augmented("resize|flip_left_right|color_jitter(contrast=0.1)", 60, stream.getvalue())
    exact = evaluate("resize", 60, Image.fromarray(stripes))
    assert abs(result.std() - exact.std()) < 10
    assert exact.std() < 50


@pytest.mark.parametrize("size", [(120, 90), (61, 200), (33, 33)])
@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
def test_resizing_then_cropping_is_that_of_torchvision(size, method):
    photo = PHOTO.resize(size)
    shorter = min(size)
    width, height = (int(48 * length / shorter) for length in size)
    left, top = round((width - 40) / 2), round((height - 40) / 2)
    resized = photo.resize((width, height), Image.Resampling[method.upper()])
    expected = np.asarray(resized.crop((left, top, left + 40, top + 40)), int)
    result = evaluate(f"resize_center_crop(48, {method!r})", 40, photo)
    # Pillow rounds twice.
    np.testing.assert_allclose(result, expected, atol=2)
    assert abs(result - expected).mean() < 0.2


def test_the_size_before_cropping_follows_the_target():
    np.testing.assert_array_equal(
        evaluate("resize_center_crop", 28), evaluate("resize_center_crop(32)", 28)
    )
    with pytest.raises(UserError, match="size=200 is less than the 224 pixels"):
        Augmentation("resize_center_crop(200)|flip_left_right", 224)


def test_bicubic_does_not_go_with_turning():
    with pytest.raises(UserError, match="use bilinear"):
        Augmentation("resize(method='bicubic')|rotate(3)", 32)


@pytest.mark.parametrize(
    "text",
    [
        "flip_left_right|color_jitter(0.2)|random_resized_crop",
        "rotate|gaussian_noise|resize",
        "grayscale|flip_left_right|hue(0.1)|center_crop",
    ],
)
def test_a_crop_after_moves_and_colors_is_refused(text):
    # The moves would have cut out the corner.
    with pytest.raises(UserError, match="crop or resize before the colors"):
        Augmentation(text, 32)


def test_photometric_operations_before_a_crop_see_the_whole_photo():
    stream = io.BytesIO()
    PHOTO.save(stream, "PNG")
    text = "grayscale(1.0)|random_resized_crop|rotate"
    result = augmented(text, 16, stream.getvalue(), (1, 2))
    assert (result == result[..., :1]).all()

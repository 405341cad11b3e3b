"""Photos that the devices crop and color are those that the host makes."""

import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import common
from efficientnet.errors import UserError
from efficientnet.training import device_cache, device_pixels, experiment
from efficientnet.training.run import run
from input_pipeline import sampler

Recipe = Callable[..., ConfigDict]
CROP = "random_resized_crop(scale=(0.5, 1.0))|flip_left_right"


def recipe(tiny: Recipe, augment: str, cache: str, resolution: int = 32) -> ConfigDict:
    config = tiny(common.stage("head", train="predictions", epochs=1))
    config.augment = augment
    config.resolution = resolution
    config.data.cache = cache
    config.data.cache_resolution = 40
    return config


def batches(config: ConfigDict, steps: int) -> list[dict[str, Any]]:
    prepared = device_cache.placed(experiment.prepare(config))
    return list(prepared.batches_on_devices(3, steps))


@pytest.mark.parametrize(
    "augment",
    [
        "",
        CROP,
        f"{CROP}|flip_up_down|color_jitter(0.4, 0.4, 0.4)",
        f"{CROP}|grayscale(0.5)|random_erasing(probability=0.7)|brightness(0.3)",
        f"{CROP}|affine(25, 0.1, (0.9, 1.1), 8)|color_jitter(0.2, 0.2, 0.2)",
        "rotate(180)|color_jitter(0.3, hue=0.5)",
    ],
)
def test_devices_make_what_the_host_makes(tiny: Recipe, augment: str) -> None:
    # The tiny photos are noise: enlarged, they show rounding and borders alone.
    ours, theirs = (batches(recipe(tiny, augment, c, 48), 3) for c in ("device", "memory"))
    assert len(ours) == len(theirs) == 3
    for one, other in zip(ours, theirs, strict=True):
        for name in ("index", "label", "mask"):
            np.testing.assert_array_equal(one[name], other[name])
        images = np.asarray(one["image"]), np.asarray(other["image"])
        assert images[0].dtype == np.uint8
        assert images[0].shape == images[1].shape
        assert one["image"].sharding.is_equivalent_to(other["image"].sharding, 4)
        assert np.abs(images[0].astype(int) - images[1]).mean() < 1
        assert images[1].std() > 20


def test_a_shrunk_photo_is_as_soft_as_resized_ones(tiny: Recipe) -> None:
    config = recipe(tiny, "resize", "device", resolution=16)
    prepared = device_cache.placed(experiment.prepare(config))
    (batch,) = prepared.batches_on_devices(0, 1)
    chosen = np.asarray(batch["index"])
    exact = {
        int(index): image
        for part in prepared.eval_batches(prepared.data.train)
        for index, image in zip(part["index"], part["image"], strict=True)
    }
    expected = np.stack([exact[index] for index in chosen]).astype(int)
    assert np.abs(np.asarray(batch["image"]) - expected).max() <= 1


def test_noise_has_its_strength_and_is_each_photos_own(tiny: Recipe) -> None:
    plain = batches(recipe(tiny, "resize", "device"), 3)
    noisy = batches(recipe(tiny, "resize|gaussian_noise(5)", "device"), 3)
    noise = np.concatenate(
        [
            np.asarray(b["image"]).astype(float) - np.asarray(a["image"])
            for a, b in zip(plain, noisy, strict=True)
        ]
    )
    inner = np.concatenate([np.asarray(a["image"]) for a in plain])
    noise = noise[(inner > 30) & (inner < 225)]
    assert 4.5 < noise.std() < 5.5
    again = batches(recipe(tiny, "resize|gaussian_noise(5)", "device"), 3)
    for one, other in zip(noisy, again, strict=True):
        np.testing.assert_array_equal(one["image"], other["image"])


@pytest.mark.parametrize("step", [1.3, 2.0])
def test_what_a_turn_shrinks_is_as_soft_as_on_the_host(step: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)).astype(np.uint8)
    cos, sin = step * np.cos(0.3), step * np.sin(0.3)
    matrix = np.array([[cos, -sin, 12], [sin, cos, -4]], np.float32)
    expected = sampler.sample(noise[0], tuple(map(tuple, matrix.tolist())), 24, 0)
    result = np.asarray(device_pixels.turn(noise, matrix[None], 24))[0]
    assert np.abs(result - expected.astype(int)).max() < 5  # OpenCV's places have 5 bits
    assert (expected == 0).all(-1).any()


def test_photos_to_evaluate_are_decoded_once(
    tiny: Recipe, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = recipe(tiny, CROP, "device")
    on_host = experiment.prepare(config)
    prepared = device_cache.placed(on_host)
    for split in (prepared.data.test, prepared.data.validation):
        first = list(prepared.eval_batches_on_devices(split))
        with monkeypatch.context() as patch:
            patch.setattr(type(prepared), "eval_batches", None)
            again = list(prepared.eval_batches_on_devices(split))
        expected = list(on_host.eval_batches(split))
        assert len(first) == len(again) == len(expected)
        for one, two, three in zip(first, again, expected, strict=True):
            for name, values in three.items():
                np.testing.assert_array_equal(one[name], values)
                np.testing.assert_array_equal(two[name], values)

    monkeypatch.setattr(device_cache, "fits", lambda size, mesh: False)
    prepared.kept.clear()
    with caplog.at_level("INFO"):
        list(prepared.eval_batches_on_devices(prepared.data.test))
    assert not prepared.kept
    assert "do not fit onto the devices" in caplog.text


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        (f"{CROP}|rand_augment", "has RandAugment"),
        (f"{CROP}|grayscale|rotate(10)", "has a second resize"),
        ("resize(method='bicubic')", "begin with crops, flips, turns and a bilinear resize"),
    ],
)
def test_what_only_the_host_can_do_is_refused(tiny: Recipe, augment: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        device_cache.placed(experiment.prepare(recipe(tiny, augment, "device")))


def test_a_run_on_devices_ends_like_one_on_the_host(tiny: Recipe, tmp_path: pathlib.Path) -> None:
    for cache in ("device", "memory"):
        run(recipe(tiny, CROP, cache), str(tmp_path / cache))
    device, memory = (
        json.loads((tmp_path / cache / "summary.json").read_text())["stages"][0]
        for cache in ("device", "memory")
    )
    assert device["metrics"]["test"]["loss"] == pytest.approx(
        memory["metrics"]["test"]["loss"], abs=0.02
    )

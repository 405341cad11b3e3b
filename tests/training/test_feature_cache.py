"""Features computed once are those of the network, in an order of their own."""

import dataclasses
import pathlib
import types
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import common
from efficientnet.network.model import EfficientNet
from efficientnet.runtime import devices
from efficientnet.training import evaluate, feature_cache, setup, start, stopwatch
from efficientnet.training.run import run


def test_cached_features_stand_for_the_photos(tiny: Callable[..., ConfigDict]) -> None:
    config = tiny(common.stage("head", train="predictions", epochs=1, cached_copies=2))
    config.augment = "resize"
    plain = setup.prepare(common.parse(config))
    variables = jax.device_put(plain.variables, devices.replicated(plain.mesh))
    cached = feature_cache.cached(plain, variables, copies=2)

    assert cached.batches.trained.values.shape == (2, 40, 1280 // 4)
    # Without random augmentation every copy is the same.
    np.testing.assert_allclose(*cached.batches.trained.values, rtol=1e-5, atol=1e-6)

    batches = list(cached.batches.train(0, 10))
    for half in (batches[:5], batches[5:]):
        seen = np.concatenate([batch["index"] for batch in half])
        assert sorted(seen) == list(range(40))
    assert not np.array_equal(batches[0]["index"], batches[5]["index"])
    for batch in batches:
        np.testing.assert_array_equal(batch["label"], plain.data.train.labels[batch["index"]])
    (later,) = cached.batches.train(7, 1)
    np.testing.assert_array_equal(later["image"], batches[7]["image"])

    by_photo, _ = evaluate.for_experiment(plain)(variables, plain.data.validation)
    by_feature, _ = evaluate.for_experiment(cached)(variables, plain.data.validation)
    for name, value in by_photo.items():
        np.testing.assert_allclose(by_feature[name], value, rtol=1e-5)


def test_the_seconds_of_a_stage_hold_its_features_and_its_last_validation(
    tiny: Callable[..., ConfigDict], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    plain, cached = evaluate.Evaluator.__call__, feature_cache.cached

    def slow_evaluate(*arguments: Any) -> Any:
        clock[0] += 10
        return plain(*arguments)

    def slow_cached(*arguments: Any) -> Any:
        clock[0] += 100
        return cached(*arguments)

    def monotonic() -> float:
        clock[0] += 1e-3
        return clock[0]

    monkeypatch.setattr(stopwatch, "time", types.SimpleNamespace(monotonic=monotonic))
    monkeypatch.setattr(evaluate.Evaluator, "__call__", slow_evaluate)
    monkeypatch.setattr(feature_cache, "cached", slow_cached)
    config = tiny(common.stage("head", train="predictions", epochs=2, cached_copies=1))
    (stage,) = run(common.parse(config), str(tmp_path)).stages
    assert stage.seconds == pytest.approx(100 + 2 * 10, abs=5)  # without the test's


def test_a_photo_that_can_be_read_but_once_is_left_out(
    tiny: Callable[..., ConfigDict], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Any features will do: there is no network to compile.
    monkeypatch.setattr(start, "init_variables", lambda *_: {})
    monkeypatch.setattr(
        EfficientNet, "apply", lambda _, __, images: images.reshape(len(images), -1)[:, :1]
    )
    config = tiny(common.stage("head", train="predictions", epochs=1, cached_copies=2))
    config.data.broken_limit = 1
    plain = setup.prepare(common.parse(config))
    photos = plain.data.train
    reads = []

    def read(index: int) -> bytes | np.ndarray:
        if index == 7:
            reads.append(index)
            if len(reads) > 1:
                raise OSError("the disk is gone")
        return photos.read(index)

    flaky = dataclasses.replace(photos, read=read)
    plain = dataclasses.replace(plain, batches=dataclasses.replace(plain.batches, split=flaky))
    cached = feature_cache.cached(plain, {}, copies=2)
    np.testing.assert_array_equal(np.flatnonzero(~cached.batches.trained.readable), [7])

"""What a config says of its data: broken photos, caches and normalization."""

import pathlib
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from damaged import HOLLOW
from ml_collections import ConfigDict

from configs import common
from efficientnet.errors import UserError
from efficientnet.training import broken_photos, feature_cache, setup, steps
from efficientnet.training.run import run
from efficientnet.weights.conventions import MEAN_STD
from input_pipeline.sources import SOURCES
from input_pipeline.sources.split import Source, from_encoded

Recipe = Callable[..., ConfigDict]


@pytest.fixture(autouse=True)
def user_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EFFICIENTNET_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def partly_broken(tiny: Recipe, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """The tiny recipe on photos of which two to train on, and none else, can't be decoded."""
    source = SOURCES["tiny"]()
    train = source.splits["train"]
    encoded = [train.read(index) for index in range(len(train))]
    for index in (7, 30):
        encoded[index] = HOLLOW
    broken = from_encoded(encoded, train.names, train.labels.tolist())
    splits = {**source.splits, "train": broken, "validation": source.splits["test"]}
    monkeypatch.setitem(SOURCES, "tiny", lambda: Source("tiny", source.class_names, splits))

    def recipe(*stages: ConfigDict) -> ConfigDict:
        config = tiny(*stages)
        config.data.validation_split = "validation"
        return config

    return recipe


def test_broken_photos_stop_a_run_by_name(partly_broken: Recipe, tmp_path: pathlib.Path) -> None:
    stage = common.stage("head", train="predictions", epochs=2)
    with pytest.raises(UserError, match=r"^(7|30)\.png is not a readable photo"):
        run(common.parse(partly_broken(stage)), str(tmp_path))


@pytest.mark.parametrize("cache", ["", "memory", "disk"])
def test_broken_photos_are_skipped_and_stand_in_the_summary(
    partly_broken: Recipe, tmp_path: pathlib.Path, cache: str
) -> None:
    config = partly_broken(common.stage("head", train="predictions", epochs=2))
    config.data.broken_limit = 2
    config.data.cache = cache
    config.data.cache_resolution = 36
    assert run(common.parse(config), str(tmp_path)).skipped_photos == ("30.png", "7.png")


def test_a_photo_that_is_skipped_changes_no_data(partly_broken: Recipe) -> None:
    whole = SOURCES["tiny"]()
    config = partly_broken(common.stage("head", train="predictions", epochs=1))
    config.data.broken_limit = 2
    config.data.cache = "memory"
    config.data.cache_resolution = 36
    prepared = setup.prepare(common.parse(config))
    assert len(prepared.data.train) == len(whole.splits["train"]) - 2
    assert prepared.identity["train"].photos == len(whole.splits["train"])
    assert prepared.identity == broken_photos.identity(setup.load_data(common.parse(config)).splits)


def test_skipped_photos_have_no_features(
    partly_broken: Recipe, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = partly_broken(common.stage("head", train="predictions", epochs=2, cached_copies=1))
    config.data.broken_limit = 2
    assert run(common.parse(config), str(tmp_path)).skipped_photos == ("30.png", "7.png")

    def uncleared(shape: Any, dtype: Any = float) -> np.ndarray:
        array = np.zeros(shape, dtype)
        if np.issubdtype(dtype, np.floating):
            array.fill(np.nan)
        return array

    prepared = setup.prepare(common.parse(config))
    with monkeypatch.context() as patch:
        patch.setattr(np, "empty", uncleared)
        cached = feature_cache.cached(prepared, prepared.variables, copies=1)
    np.testing.assert_array_equal(np.flatnonzero(~cached.batches.trained.readable), [7, 30])
    assert np.isfinite(
        cached.batches.trained.values
    ).all()  # as no loss would be, times the mask's 0


def test_training_photos_normalize_themselves(tiny: Recipe) -> None:
    config = tiny(common.stage("head", train="predictions", epochs=1))
    config.normalization = "training"
    prepared = setup.prepare(common.parse(config))
    images = np.concatenate(
        [b["image"][b["mask"]] for b in prepared.batches.evaluate(prepared.data.train)]
    )
    np.testing.assert_allclose(prepared.mean, images.mean((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(prepared.std, images.std((0, 1, 2)), rtol=1e-4)
    config.std = (0.2, 0.2, 0.2)
    np.testing.assert_allclose(setup.prepare(common.parse(config)).std, 51.0, rtol=1e-6)
    config.normalization = "imagenet"
    np.testing.assert_allclose(setup.prepare(common.parse(config)).mean, MEAN_STD.mean, rtol=1e-6)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("data.cache", "tape", "expected one of memory, disk, or ''"),
        ("data.cache_resolution", 0, "expected at least 1"),
        ("data.broken_limit", -1, "expected at least 0"),
        ("normalization", "cars", "expected one of weights, imagenet, training"),
        ("keep_checkpoints", 0, "expected at least 1"),
        ("log_every_steps", 0, "expected at least 1"),
        ("checkpoint_every_minutes", -1.0, "expected at least 0"),
        ("std", (0.2, 0.0, 0.2), "expected each value from"),
        ("mean", (128, 128, 128), "expected each value from 0 to 1"),
        ("mean", ("a", "b", "c"), "expected each value a number from 0 to 1"),
        ("seed", 2**40, "below 2\\*\\*31"),
        ("resolution", 0, "expected at least 1, or None"),
    ],
)
def test_unknown_values_are_refused_by_name(
    tiny: Recipe, field: str, value: object, message: str
) -> None:
    config = tiny(common.stage("head", train="predictions", epochs=1))
    with pytest.raises(UserError, match=f"^config.{field} is .*{message}"):
        config.update_from_flattened_dict({field: value})


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("preprocess", "random_resized_crop", "evaluation must not be random"),
        ("preprocess", "resize|gaussian_noise", "evaluation must not be random"),
        ("augment", "resize(method='bicubic')|rotate(3)", "use bilinear"),
    ],
)
def test_what_batches_would_refuse_is_refused_before_training(
    tiny: Recipe, field: str, value: object, message: str
) -> None:
    config = tiny(common.stage("head", train="predictions", epochs=1))
    config.update_from_flattened_dict({field: value})
    with pytest.raises(UserError, match=message):
        setup.check(common.parse(config))


def test_a_gpu_that_is_too_old_for_triton_is_named(
    tiny: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(common.stage("head", train="predictions", epochs=1))
    config.depthwise_kernels = "pallas"
    setup.check(common.parse(config))
    gpu = types.SimpleNamespace(compute_capability="7.5", device_kind="Tesla T4")
    monkeypatch.setattr(setup.jax, "devices", lambda: [gpu])
    with pytest.raises(
        UserError, match="depthwise_kernels is 'pallas': expected 'xla' on Tesla T4"
    ):
        setup.check(common.parse(config))


def test_the_first_photos_alone_are_trained_on(tiny: Recipe, caplog: Any) -> None:
    config = tiny(common.stage("head", train="predictions", epochs=1))
    whole = setup.load_data(common.parse(config))
    config.data.examples = 20
    data = setup.load_data(common.parse(config))
    names = sorted([*data.train.names, *data.validation.names])
    assert names == sorted(SOURCES["tiny"]().splits["train"].names[:20])
    assert data.test.names == whole.test.names
    config.data.examples = 10**6
    assert setup.load_data(common.parse(config)).train.names == whole.train.names
    assert not caplog.records
    config.data.examples = 2
    config.data.validation_fraction = 0.5
    with pytest.raises(UserError, match="of 2 examples leaves one side empty"):
        setup.load_data(common.parse(config))
    assert "the first 2 training photos are of" in caplog.text


def test_epochs_end_with_whole_batches_where_the_remainder_is_dropped(tiny: Recipe) -> None:
    stage = common.stage("head", train="predictions", epochs=2)
    config = tiny(stage)
    config.batch_size = 16
    experiment = setup.prepare(common.parse(config))
    photos = len(experiment.data.train)
    assert photos % config.batch_size, "there is a remainder"
    config.data.drop_remainder = True
    experiment = setup.prepare(common.parse(config))
    each = photos // config.batch_size
    schedule = steps.stage_schedule(experiment, experiment.config.stages[0])
    assert schedule.epoch_ends == {each: 1, 2 * each: 2}
    batches = list(experiment.batches.train(0, 2 * each))
    for epoch in (batches[:each], batches[each:]):
        seen = np.concatenate([batch["index"] for batch in epoch])
        assert len(set(seen.tolist())) == len(seen)
    config.stages[0].cached_copies = 1
    with pytest.raises(UserError, match="drop_remainder is True: expected False with cached_copie"):
        setup.check(common.parse(config))
    config.batch_size = 48
    with pytest.raises(UserError, match="expected False for 40 photos to train on, less than a b"):
        setup.load_data(common.parse(config))

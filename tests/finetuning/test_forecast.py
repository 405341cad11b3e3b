"""The forecast follows the arithmetic of the stages, and measures a real network."""

import dataclasses
import pathlib

import pytest
from made_up_facts import PHOTOS

from configs import common
from efficientnet.config import RunConfig
from efficientnet.finetuning import forecast
from efficientnet.finetuning.forecast import Speed
from efficientnet.runtime import devices
from efficientnet.training import evaluate, setup, steps
from efficientnet.training.start import Opened

MEASURE = forecast.measure  # before the fixture replaces it


def one_stage(train: str, cache: str = "", **fields: object) -> RunConfig:
    recipe = common.get_config()
    recipe.variant, recipe.weights, recipe.resolution = "lite0", "", 128
    recipe.data.source, recipe.data.cache = "folders", cache
    recipe.stages = (common.stage("one", train=train, **{"epochs": 2.0, **fields}),)
    return common.parse(recipe)


def seconds(config: RunConfig, photo: float = 0.0, shared: bool = False) -> float:
    photos = dataclasses.replace(PHOTOS, train=1000, validation=100, test=200)
    speed = Speed(100.0, 0.0, photo, shared_cores=shared)
    ((name, value),) = forecast.stage_seconds(config, photos, speed)
    assert name == "one"
    return value


def test_what_trains_is_three_times_the_work() -> None:
    evaluated = (2 * 100 + 200) / 100
    assert seconds(one_stage("all")) == pytest.approx(3 * 2 * 1000 / 100 + evaluated)
    assert seconds(one_stage("predictions")) == pytest.approx(2 * 1000 / 100 + evaluated, rel=1e-2)
    assert seconds(one_stage("predictions")) < seconds(one_stage("block6-"))
    assert seconds(one_stage("block6-")) < seconds(one_stage("all"))


def test_features_are_computed_once() -> None:
    cached = one_stage("predictions", cached_copies=1, epochs=50.0)
    assert seconds(cached) == pytest.approx((1000 + 100 + 200) / 100)


def test_photos_count_where_they_are_slower_or_share_the_cores() -> None:
    slow, computing = 2 * 1000 + 2 * 100 + 200, seconds(one_stage("all"))
    assert seconds(one_stage("all"), photo=1.0) == pytest.approx(slow)
    assert seconds(one_stage("all"), photo=1e-3) == pytest.approx(computing)
    assert seconds(one_stage("all"), photo=1.0, shared=True) == pytest.approx(slow + computing)
    kept = one_stage("all", cache="memory")
    assert seconds(kept, photo=1.0) == pytest.approx(1000 + 2 * 100 + 200)


def test_the_evaluation_is_compiled_once() -> None:
    config = one_stage("all")
    (one,) = config.stages
    two = dataclasses.replace(config, stages=(one, dataclasses.replace(one, name="two")))
    speed = Speed(1e9, 1.0, 0.0, shared_cores=True)
    times = [value for _, value in forecast.stage_seconds(two, PHOTOS, speed)]
    assert times == pytest.approx([1 + forecast.COMPILES, forecast.COMPILES], rel=1e-3)


def test_a_network_is_measured_by_what_the_run_then_finds_compiled(
    photos: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = common.get_config()
    recipe.variant, recipe.weights, recipe.resolution, recipe.batch_size = "tiny", "", 32, 8
    recipe.data.source, recipe.data.directory = "folders", str(photos)
    recipe.stages = (common.stage("one", train="all", epochs=1),)
    config = common.parse(recipe)
    source = setup.open_source(config.data)
    speed = MEASURE(config, source.splits["train"], len(source.class_names), None)
    assert min(speed[:3]) > 0
    assert forecast.described(config, PHOTOS, speed).startswith("this will take about ")

    monkeypatch.setattr(steps, "cross_entropy", None)  # which only compiling needs
    prepared = setup.prepare(config, opened=Opened(source))
    variables = devices.place(prepared.variables, prepared.mesh)
    metrics, _ = evaluate.for_experiment(prepared)(variables, prepared.data.test)
    assert metrics["loss"] > 0


@pytest.mark.parametrize(
    ("value", "shown"), [(3, "10 s"), (44, "40 s"), (400, "7 min"), (9000, "2.5 h")]
)
def test_durations_are_as_exact_as_they_are_known(value: float, shown: str) -> None:
    assert forecast.about(value) == shown

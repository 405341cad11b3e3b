"""The forecast follows the arithmetic of the stages, and measures a real network."""

import dataclasses

import pytest
from made_up_facts import LAPTOP, PHOTOS, decided

from efficientnet.finetuning import forecast
from efficientnet.finetuning.rules import Choice, Decisions

MEASURE = forecast.measure  # before the fixture replaces it


def one_stage(train: str, **fields: object) -> Decisions:
    made = decided(LAPTOP)
    stage = {"name": "one", "train": train, "epochs": 2.0, **fields}
    made.stages = [Choice(stage, "")]
    return made


def seconds(made: Decisions, decode: float = 0.0) -> float:
    photos = dataclasses.replace(
        PHOTOS, train=1000, validation=100, test=200, decode_seconds=decode
    )
    ((name, value),) = forecast.stage_seconds(made, photos, forecast.Speed(100.0, 0.0))
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


def test_slow_decoding_counts() -> None:
    assert seconds(one_stage("all"), decode=1.0) == pytest.approx(2 * 1000 + 2 * 100 + 200)
    kept = one_stage("all")
    kept.fields["data.cache"] = Choice("memory", "")
    assert seconds(kept, decode=1.0) == pytest.approx(2 * 100 + 200)


def test_a_network_is_measured() -> None:
    made = decided(LAPTOP, given={"variant": "tiny", "resolution": 32, "batch_size": 8})
    speed = MEASURE(made, PHOTOS)
    assert speed.images_per_second > 0
    assert speed.compile_seconds > 0
    assert forecast.described(made, PHOTOS, speed).startswith("this will take about ")


@pytest.mark.parametrize(
    ("value", "shown"), [(3, "10 s"), (44, "40 s"), (400, "7 min"), (9000, "2.5 h")]
)
def test_durations_are_as_exact_as_they_are_known(value: float, shown: str) -> None:
    assert forecast.about(value) == shown

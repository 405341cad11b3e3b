"""Plateaus, early stopping and lost runs."""

import json
import math
from typing import Any

import jax.numpy as jnp
import pytest

from efficientnet.config import StageConfig
from efficientnet.errors import UserError
from efficientnet.records import MonitorState, from_json, to_json
from efficientnet.training import monitoring
from efficientnet.training.monitoring import NanGuard, check_fine_tuning


def stage(**fields: Any) -> StageConfig:
    return StageConfig("s", "all", 1, **fields)


def follow(settings: StageConfig, values: list[float]) -> list[MonitorState]:
    """Returns the state after each epoch, each restored from JSON as after a restart."""
    states = [MonitorState()]
    for value in values:
        state = from_json(MonitorState, json.loads(json.dumps(to_json(states[-1]))))
        states.append(monitoring.update(state, settings, {settings.monitor: value}))
    return states[1:]


def test_the_rate_falls_at_a_plateau_and_not_below_the_floor() -> None:
    settings = stage(learning_rate=1.0, plateau_factor=0.1, plateau_patience=2, plateau_floor=0.05)
    states = follow(settings, [0.5, 0.6, 0.6, 0.6, 0.6, 0.6, 0.9, 0.9, 0.9])
    scales = [state.lr_scale for state in states]
    assert scales == pytest.approx([1, 1, 1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05])


def test_only_a_gain_above_the_threshold_counts() -> None:
    settings = stage(monitor="loss", min_improvement=0.1, stop_patience=3)
    # 0.95 and 0.91 are no improvement on 1.0, 0.85 is.
    states = follow(settings, [1.0, 0.95, 0.91, 0.85, 0.85, 0.85, 0.85])
    assert [state.epochs_without for state in states] == [0, 1, 2, 0, 1, 2, 3]
    assert [state.stopped for state in states] == [False] * 6 + [True]


def test_without_patience_a_stage_never_stops() -> None:
    assert not any(state.stopped for state in follow(stage(), [0.5] * 20))
    assert {state.lr_scale for state in follow(stage(), [0.5] * 20)} == {1.0}


def test_epochs_are_ordered_by_metric_then_loss() -> None:
    better = {"top1": 0.5, "loss": 1.0}
    worse = {"top1": 0.5, "loss": 2.0}
    assert monitoring.score(stage(), better) > monitoring.score(stage(), worse)
    assert monitoring.score(stage(), {"top1": 0.6, "loss": 9.0}) > monitoring.score(stage(), better)
    by_loss = stage(monitor="loss")
    assert monitoring.score(by_loss, better) > monitoring.score(by_loss, worse)


@pytest.mark.parametrize("lost", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("monitor", ["loss", "top1"])
def test_what_is_not_finite_is_the_worst(monitor: str, lost: float) -> None:
    settings = stage(monitor=monitor)
    finite = {"top1": 0.0, "loss": 1e9}
    for broken in ({"top1": 0.0, "loss": lost}, {"top1": lost, "loss": lost}):
        assert monitoring.score(settings, finite) > monitoring.score(settings, broken)
        assert not monitoring.score(settings, broken) > monitoring.score(settings, finite)


@pytest.mark.parametrize("lost", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_no_improvement_and_hides_none(lost: float) -> None:
    states = follow(stage(monitor="loss", stop_patience=9), [lost, lost, 3.0, lost, 2.0, 2.5])
    assert [state.epochs_without for state in states] == [1, 2, 0, 1, 0, 1]
    assert states[-1].best == 2.0
    # A run of an earlier version may have taken note of one.
    state = monitoring.update(MonitorState(best=lost), stage(monitor="loss"), {"loss": 1.0})
    assert state.best == 1.0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"monitor": "f1"}, "monitor 'f1': expected one of top1, top3, top5, loss"),
        ({"plateau_factor": 2.0}, r"plateau_factor 2\.0"),
        ({"plateau_patience": 0}, "plateau_patience 0"),
    ],
)
def test_bad_values_are_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        stage(**fields)


def test_so_many_steps_may_be_skipped_and_no_more() -> None:
    guard = NanGuard(stage(), skipped=0, may_skip=1)
    for step, loss in enumerate((1.0, float("nan"), 2.0), start=1):
        guard.add(step, jnp.asarray(loss))
    guard.wait(at_most=0)
    assert guard.skipped == 1
    guard.add(4, jnp.asarray(float("nan")))
    with pytest.raises(UserError, match="of stage 's' is not finite at step 4: the learning rate"):
        guard.wait(at_most=0)


def judge(loss: float, num_classes: int, train: str = "all", *steps: int) -> None:
    """Gives the guard an epoch with this loss, after so many steps before it and up to its end."""
    before, after = steps or (0, 100)
    settings = StageConfig("s", train, 1)
    check_fine_tuning(settings, loss, num_classes, steps_before=before, steps=after)


def test_an_epoch_far_worse_than_guessing_ends_a_fine_tune() -> None:
    judge(5.4, 196)
    judge(1.5, 2)
    with pytest.raises(UserError, match=r"is 23\.00 after 100 steps, well above the 5\.28"):
        judge(23.0, 196)


@pytest.mark.parametrize("train", ["predictions", "predictions,predictions", "predictions-"])
def test_no_loss_ends_a_stage_with_a_frozen_backbone(train: str) -> None:
    judge(1e6, 3, train)


@pytest.mark.parametrize("train", ["all", "top-", "block7,predictions", "block6-"])
def test_any_other_stage_is_judged(train: str) -> None:
    with pytest.raises(UserError, match="well above"):
        judge(1e6, 3, train)


@pytest.mark.parametrize("steps", [(0, 2), (0, 99), (60, 99), (100, 120), (200, 400)])
def test_too_few_steps_are_not_judged_and_later_epochs_not_again(steps: tuple[int, int]) -> None:
    judge(1e6, 3, "all", *steps)


@pytest.mark.parametrize("steps", [(0, 101), (98, 100), (99, 118)])
def test_the_first_epoch_with_enough_steps_is_judged(steps: tuple[int, int]) -> None:
    with pytest.raises(UserError, match=f"after {steps[1]} steps"):
        judge(1e6, 3, "all", *steps)

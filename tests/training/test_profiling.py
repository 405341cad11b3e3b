"""Traces of a run's steps: written where TensorBoard looks, and changing nothing."""

import contextlib
import pathlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import pytest
from etils import epath
from jax.profiler import ProfileData
from ml_collections import ConfigDict

from configs import common
from efficientnet.config import RunConfig, StageConfig
from efficientnet.errors import UserError
from efficientnet.training import tensorboard
from efficientnet.training.run import run

Recipe = Callable[..., ConfigDict]


def traces(folder: pathlib.Path) -> list[pathlib.Path]:
    return list((folder / "plugins" / "profile").glob("*/*.xplane.pb"))


def profiled(steps: str, folder: pathlib.Path) -> int:
    """Runs five steps, and returns how many of them are in the trace."""
    config = RunConfig(profile_steps=steps, stages=(StageConfig("all", "all", 1),))
    step = jax.jit(lambda x: jnp.sin(x) @ x)
    x = step(jnp.ones((8, 8)))
    with contextlib.closing(tensorboard.Profiler(config, epath.Path(folder))) as profiler:
        for number in range(1, 6):
            with jax.profiler.TraceAnnotation(f"step {number}"):
                x = step(x)
            profiler.step_done(number, x)
    names = [
        event.name
        for path in traces(folder)
        for plane in ProfileData.from_file(str(path)).planes
        for line in plane.lines
        for event in line.events
    ]
    return sum(f"step {number}" in names for number in range(1, 6))


def test_a_trace_holds_the_steps_asked_for(tmp_path: pathlib.Path) -> None:
    assert profiled("1:3", tmp_path / "whole") == 2
    assert profiled("4:99", tmp_path / "broken_off") == 1  # the run ends before
    assert profiled("", tmp_path / "none") == 0
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_a_run_writes_it_beside_its_curves(tiny: Recipe, tmp_path: pathlib.Path) -> None:
    config = tiny(common.stage("head", train="predictions", epochs=1))
    config.profile_steps = "1:3"
    run(common.parse(config), str(tmp_path))
    assert len(traces(tmp_path / "tensorboard")) == 1
    config.profile_steps = ""
    run(common.parse(config), str(tmp_path))  # the field may change in a run that has begun


@pytest.mark.parametrize("text", ["10", "0:5", "5:5", "7:3", "a:b", "10:20:2"])
def test_what_is_no_range_of_steps_is_named(text: str) -> None:
    with pytest.raises(UserError, match=f"profile_steps is '{text}'"):
        RunConfig(profile_steps=text, stages=(StageConfig("all", "all", 1),))

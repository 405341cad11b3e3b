"""One declaration a field: recipes, ranges, JSON and what may change follow from it."""

import dataclasses
import json
import subprocess
import sys
import typing
from typing import Any

import pytest

from configs import common
from efficientnet import metrics
from efficientnet.config import DataConfig, RunConfig, StageConfig, hints, may_change
from efficientnet.errors import UserError
from efficientnet.training import optim

STAGE = StageConfig("all", train="all", epochs=2)


def run_config(**fields: Any) -> RunConfig:
    return RunConfig(**{"stages": (STAGE,), **fields})


def test_a_recipe_starts_with_the_declared_defaults() -> None:
    recipe = common.get_config()
    recipe.stages = (common.stage("all", train="all", epochs=2),)
    assert common.parse(recipe) == run_config()


def test_a_recipe_has_the_declared_types() -> None:
    recipe = common.get_config()
    for field, value in (("seed", "1"), ("resolution", "224"), ("remat", 1), ("batch_size", 8.5)):
        with pytest.raises(UserError, match=f"^config.{field} is {value!r}: expected "):
            recipe[field] = value
    recipe.resolution = 224  # None before
    stage = common.stage("all", train="all", epochs=2, head_learning_rate=0.1, dropout=0.0)
    recipe.stages = (stage,)
    parsed = common.parse(recipe)
    assert (parsed.resolution, parsed.stages[0].head_learning_rate) == (224, 0.1)


@pytest.mark.parametrize("place", [common.get_config(), common.get_config().data])
def test_no_field_can_be_added(place: Any) -> None:
    with pytest.raises(AttributeError, match="batch_sise"):
        place.batch_sise = 8


def test_numbers_become_those_declared() -> None:
    config = run_config(mean=[0, 1, 1], checkpoint_every_minutes=3)
    assert config.mean == (0.0, 1.0, 1.0)
    assert json.dumps(config.to_json()["checkpoint_every_minutes"]) == "3.0"
    assert json.dumps(STAGE.to_json()["epochs"]) == "2.0"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"seed": -1}, "config.seed is -1: expected at least 0, below 2**31"),
        ({"seed": True}, "config.seed is True: expected a whole number at least 0, below 2**31"),
        ({"dtype": "f16"}, "config.dtype is 'f16': expected one of float32, bfloat16"),
        ({"remat": 1}, "config.remat is 1: expected True or False"),
        ({"resolution": 0}, "config.resolution is 0: expected at least 1, or None"),
        ({"variant": 3}, "config.variant is 3: expected text"),
        ({"channels": 2}, "config.channels is 2: expected one of 1, 3"),
        ({"std": (0.2, 2.0)}, "config.std is (0.2, 2.0): expected each value from 1e-06 to 1"),
        ({"std": 0.2}, "config.std is 0.2: expected several values, in brackets"),
        (
            {"mean": (0.1, 0.2)},
            "config.mean has 2 values: expected one for each of the 3 channels, or none to take "
            "those of the weights",
        ),
        ({"stages": ()}, "config.stages is empty: a recipe needs at least one stage"),
        ({"stages": (STAGE, STAGE)}, "config.stages has the names all, all: each must differ"),
        ({"data": None}, "config.data is None: expected a DataConfig"),
        (
            {"profile_steps": "5:2"},
            "config.profile_steps is '5:2': expected FROM:TO, such as '10:20', with 0 < FROM < TO",
        ),
    ],
)
def test_what_a_run_cannot_be_is_one_sentence(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as raised:
        run_config(**fields)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epochs": 0}, "stage 'all' has epochs 0: expected more than 0"),
        ({"epochs": "2"}, "stage 'all' has epochs '2': expected a number more than 0"),
        ({"dropout": 1.0}, "stage 'all' has dropout 1.0: expected at least 0, below 1, or None"),
        ({"layer_decay": 1.5}, "stage 'all' has layer_decay 1.5: expected more than 0, at most 1"),
        ({"monitor": "f1"}, "stage 'all' has monitor 'f1': expected one of top1, top3, top5, loss"),
        (
            {"name": "a/b"},
            "config.stages has the name 'a/b': expected letters, digits, spaces and _.+-, as it "
            "names files",
        ),
    ],
)
def test_what_a_stage_cannot_be_is_one_sentence(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as raised:
        dataclasses.replace(STAGE, **fields)
    assert str(raised.value) == message


def test_what_the_data_cannot_be_is_one_sentence() -> None:
    with pytest.raises(
        UserError, match=r"^config\.data\.cache is 'tape': expected one of memory, "
    ):
        DataConfig(cache="tape")  # type: ignore[arg-type]
    with pytest.raises(
        UserError, match=r"^config\.data\.cache_directory is 'gs://b': expected a fo"
    ):
        DataConfig(cache_directory="gs://b")


@pytest.mark.parametrize(
    ("change", "message"),
    [({"variant": "b9"}, "unknown variant 'b9'"), ({"train": "block9"}, "names no freeze group")],
)
def test_a_recipe_names_what_the_network_has(change: dict[str, Any], message: str) -> None:
    recipe = common.get_config()
    recipe.stages = (common.stage("all", change.pop("train", "all"), epochs=2),)
    recipe.update(change)
    with pytest.raises(UserError, match=message):
        common.parse(recipe)


def test_json_keeps_everything() -> None:
    config = run_config(resolution=224, std=(0.2, 0.3, 0.4), data=DataConfig(source="folders"))
    assert RunConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_an_older_runs_json_lacks_what_is_new_and_may_have_what_is_gone() -> None:
    saved = run_config(seed=3).to_json()
    del saved["skip_steps"], saved["data"]["broken_limit"], saved["stages"][0]["start"]
    assert RunConfig.from_json(saved) == run_config(seed=3)
    saved["data"]["cache"] = "device"
    with pytest.raises(UserError, match=r"config\.data\.cache is 'device': expected one of"):
        RunConfig.from_json(saved)
    with pytest.raises(UserError, match="no field 'sede'"):
        RunConfig.from_json({**run_config().to_json(), "sede": 1})


def test_what_may_change_when_a_run_is_resumed() -> None:
    assert may_change() == {
        "config.log_every_steps",
        "config.checkpoint_every_steps",
        "config.checkpoint_every_minutes",
        "config.keep_checkpoints",
        "config.profile_steps",
        "config.skip_steps",
        "config.trackers",
        "config.deterministic",
        "config.data.broken_limit",
        "config.data.directory",
        "config.data.cache_directory",
    }


def test_the_choices_are_those_of_the_tables() -> None:
    assert typing.get_args(hints(StageConfig)["optimizer"]) == tuple(optim.OPTIMIZERS)
    assert typing.get_args(hints(StageConfig)["monitor"]) == tuple(metrics.per_example())


def test_a_config_is_read_without_what_takes_long_to_import() -> None:
    slow = ("jax", "tensorflow", "cv2", "optax", "flax", "numpy")
    code = (
        "import sys; from configs import common, cars_b0\n"
        "common.parse(cars_b0.get_config())\n"
        f"print([name for name in {slow} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"folds": 1}, r"config.data.folds is 1: expected at least 2, or 0 for none"),
        ({"folds": 5, "fold": 5}, r"config.data.fold is 5: expected from 0 to 4"),
        ({"folds": -1}, r"config.data.folds is -1: expected a whole number at least 0|at least 0"),
        ({"fold": 1}, r"config.data.fold is 1: expected 0 without config.data.folds"),
        (
            {"folds": 2, "validation_split": "val"},
            "validation_split is 'val': expected 'auto' with",
        ),
    ],
)
def test_folds_that_make_no_sense_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        DataConfig(**fields)
    DataConfig(folds=2, fold=1)


def test_a_learning_rate_is_a_number_or_auto() -> None:
    assert dataclasses.replace(STAGE, learning_rate=1).peak_rate == 1.0
    stage = dataclasses.replace(STAGE, learning_rate="auto")
    assert StageConfig.from_json(stage.to_json()) == stage
    with pytest.raises(
        UserError, match="learning_rate 'auto': expected a number here, as scripts/"
    ):
        _ = stage.peak_rate
    with pytest.raises(UserError, match=r"head_learning_rate 0\.1: expected None with learn"):
        dataclasses.replace(stage, head_learning_rate=0.1)
    for value, expected in (("high", "a number more than 0"), (-1.0, "more than 0"), (None, "")):
        with pytest.raises(
            UserError, match=f"learning_rate {value!r}: expected {expected}.*'auto'"
        ):
            dataclasses.replace(STAGE, learning_rate=value)


def test_progressive_stages_find_a_rate_each() -> None:
    found = common.progressive("top", 2, learning_rate="auto", rate_factor=0.5)
    assert [stage.learning_rate for stage in found] == ["auto", "auto"]

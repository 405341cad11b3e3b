"""Recipes against the parameters of the studies that they repeat: `studies.toml`."""

import importlib
import pathlib
import shlex
import tomllib
from typing import Any

import pytest

from configs import common
from efficientnet.network import freeze_groups

STUDIES = tomllib.loads(pathlib.Path(__file__).with_name("studies.toml").read_text())


def parsed(name: str) -> dict[str, Any]:
    """Returns a recipe as JSON types, with the fields of the data as 'data.source'."""
    file, _, arguments = name.partition(":")
    config = common.parse(importlib.import_module(f"configs.{file}").get_config(arguments))
    values = config.to_json()
    return values | {f"data.{field}": value for field, value in values["data"].items()}


def deviations(name: str, study: dict[str, Any]) -> set[str]:
    ours = parsed(name)
    assert len(ours["stages"]) == len(study["stages"])
    pairs = [(ours, study["run"]), *zip(ours["stages"], study["stages"], strict=True)]
    return {field for own, source in pairs for field in source if own[field] != source[field]}


@pytest.mark.parametrize("name", STUDIES)
def test_a_recipe_is_its_study_but_for_what_it_says(name: str) -> None:
    study = STUDIES[name]
    assert deviations(name, study) == set(study.get("differs", {}))


@pytest.mark.parametrize("name", STUDIES)
def test_the_table_in_a_recipe_has_every_parameter(name: str) -> None:
    file, study = name.partition(":")[0], STUDIES[name]
    text = importlib.import_module(f"configs.{file}").__doc__
    if file == "cars_b0_scratch":  # what is the same stands there
        text += importlib.import_module("configs.cars_b0").__doc__
    named = {cell for row in text.splitlines() if row[:2] == "| " for cell in row.split("`")[1::2]}
    if "validated on" in text:
        named.add("validation_split")
    fields = {field for part in (study["run"], *study["stages"]) for field in part}
    # The command gives the variant and the data.
    missing = {field.removeprefix("data.") for field in fields} - named
    assert missing <= {"variant", "source", "preprocess"}


def test_another_value_is_seen() -> None:
    study = STUDIES["dogs_b0:finetune"]
    stages = [study["stages"][0], {**study["stages"][1], "learning_rate": 1e-4}]
    assert deviations("dogs_b0:finetune", {**study, "stages": stages}) == {"learning_rate"}


@pytest.mark.parametrize("name", ["cars_b0:all", "cars_b0:blocks67"])
def test_the_second_step_is_at_a_smaller_rate(name: str) -> None:
    first, second = parsed(name)["stages"]
    assert second["learning_rate"] < first["learning_rate"]


def test_rates_of_the_lesson_fall_with_depth_or_from_stage_to_stage() -> None:
    assert parsed("lesson_b0:layerwise")["stages"][1]["layer_decay"] < 1
    stages = parsed("lesson_b0:progressive")["stages"]
    rates = [stage["learning_rate"] for stage in stages]
    assert rates == sorted(rates, reverse=True)
    sizes = [len(freeze_groups.parse(stage["train"])) for stage in stages]
    assert sizes == [1, 2, 3, 4, 5]


def test_the_command_for_the_table_of_rates_and_decays_has_its_five_runs() -> None:
    text = importlib.import_module("configs.dogs_b0").__doc__
    command = shlex.split(text[text.index("python scripts/sweep.py") :].split("\n\n")[0])
    grid = dict(word.rsplit("=", 1) for word in command if word.startswith("config.stages[0]"))
    rates, decays = (
        {float(value) for value in grid[f"config.stages[0].{field}"].split(",")}
        for field in ("learning_rate", "weight_decay")
    )
    table = [(1e-2, 0), (1e-2, 1e-3), (1e-2, 1e-2), (1e-3, 1e-2), (1e-4, 1e-2)]
    assert all(rate in rates and decay in decays for rate, decay in table)
    assert grid["config.stages[0].epochs"] == "10"

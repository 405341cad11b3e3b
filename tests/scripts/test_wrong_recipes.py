"""Recipes as the scripts read them, and train.py with the same words for what is wrong."""

import pathlib

import pytest

from efficientnet.errors import UserError
from scripts import recipes

# ml_collections loads a recipe with it.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")

DEMO = "configs/solar_lite0.py"


def test_a_recipe_is_read_with_its_overrides() -> None:
    assert recipes.read(DEMO, ["--config.seed=7"]).seed == 7


@pytest.mark.parametrize(
    ("path", "overrides", "message"),
    [
        (DEMO, ["--config.nope=1"], f"--config={DEMO} --config.nope=1: no such field 'nope'"),
        (DEMO, ["--config.stages[9].epochs=1"], "the config has fewer stages"),
        (DEMO, ["--config.seed=one"], "--config.seed=one: invalid literal"),
        (DEMO, ["more"], "more is an unknown argument"),
        ("configs/none.py", [], "--config=configs/none.py: there is no such file"),
        ("configs/none.py", ["--config.seed=1"], "there is no such file"),
    ],
)
def test_a_wrong_recipe_is_one_sentence(path: str, overrides: list[str], message: str) -> None:
    with pytest.raises(UserError) as raised:
        recipes.read(path, overrides)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("import not_there", r"can't import a module \(No module named 'not_there'\): install it"),
        ("from configs import not_there", r"can't import a module .*: install it"),
        ("def get_config(:", r"mine\.py: invalid syntax \(mine.py, line 1\)"),
    ],
)
def test_a_recipe_that_is_no_program_is_one_sentence(
    tmp_path: pathlib.Path, content: str, message: str
) -> None:
    (tmp_path / "mine.py").write_text(content)
    with pytest.raises(UserError, match=message):
        recipes.read(str(tmp_path / "mine.py"), [])

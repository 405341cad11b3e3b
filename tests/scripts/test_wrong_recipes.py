"""Recipes as the scripts read them, and train.py with the same words for what is wrong."""

import pathlib
import re

import pytest

from efficientnet.commands import recipes
from efficientnet.errors import UserError

DEMO = "configs/solar_lite0.py"


def test_a_recipe_is_read_with_its_overrides() -> None:
    assert recipes.read(DEMO, ["--config.seed=7"]).seed == 7


@pytest.mark.parametrize(
    ("path", "overrides", "message"),
    [
        (DEMO, ["--config.nope=1"], "config.nope: there is no such field, see efficientnet"),
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
        ("import not_there", r", line 1: can't import a module \(No module named 'not_there'\)"),
        ("\nfrom configs import not_there", r", line 2: can't import a module .*: install it"),
        ("def get_config(:", r", line 1: SyntaxError: invalid syntax$"),
        ("def get_config():\n  a = (1\n  b = 2\n", r", line 2: SyntaxError: '\(' was never closed"),
        ("def config():\n  return 1", r"mine\.py: it has no function get_config\(\): expected"),
        ("get_config = 1", r"mine\.py: TypeError: 'int' object is not callable"),
        ("def get_config(way):\n  pass", r"mine\.py: TypeError: get_config\(\) missing 1 .*'way'"),
        ("open('gone.txt')", r", line 1: FileNotFoundError: .*'gone.txt'"),
        ("\n\ncommn.get_config()", r", line 3: NameError: name 'commn' is not defined"),
    ],
)
def test_a_recipe_that_is_no_program_is_one_sentence(
    tmp_path: pathlib.Path, content: str, message: str
) -> None:
    (tmp_path / "mine.py").write_text(content)
    assert re.search(message, error_of(tmp_path / "mine.py"))


def error_of(path: pathlib.Path, *overrides: str) -> str:
    """Returns what a recipe is refused with, which is one line that begins with its name."""
    with pytest.raises(UserError) as raised:
        recipes.read(str(path), overrides)
    message = str(raised.value)
    assert "\n" not in message
    return message


RECIPE = """
from configs import common

def get_config():
    config = common.get_config()
    config.data.source = "elpv"
    {}
    return config
"""
STAGE = 'common.stage("head", train="predictions", epochs=1'
AS_STAGES = r"expected stages between commas, in brackets: \(common.stage\(...\), "


@pytest.mark.parametrize(
    ("line", "message"),
    [
        # Commas and brackets.
        (f"config.stages = ({STAGE}))", f"config.stages is a single stage: {AS_STAGES}"),
        (f"config.stages = {STAGE})", f"config.stages is a single stage: {AS_STAGES}"),
        (f"config.stages = {{'a': {STAGE})}}", f"config.stages is a dict: {AS_STAGES}"),
        ("config.stages = 'head'", f"config.stages is 'head': {AS_STAGES}"),
        ("config.stages = None", f"config.stages is None: {AS_STAGES}"),
        ("config.stages = common.stage", f"config.stages is <function stage at .*>: {AS_STAGES}"),
        ("config.stages = ['head', 'all']", rf"config.stages\[0\] is 'head': {AS_STAGES}"),
        (
            "config.stages = (common.progressive('top', 1),)",
            r"config.stages\[0\] is several stages, which a \* before them unpacks: expected",
        ),
        ("config.stages = [dict(name='a', train='all')]", "a stage .* has no 'epochs': expected"),
        ("config.batch_size = 32,", r"config.batch_size is \(32,\): expected a whole number"),
        # Fields that are elsewhere, or nowhere.
        (
            "config.learning_rate = 1e-3",
            r"config.learning_rate: .*elsewhere, write common.stage\(..., learning_rate=...\)",
        ),
        ("config.directory = 'p'", "config.directory: .*elsewhere, write config.data.directory"),
        ("config.data.batch_size = 8", "config.data.batch_size: .*, write config.batch_size"),
        (f"config.stages = ({STAGE}, seed=1),)", r"seed=...\): .*elsewhere, write config.seed"),
        (
            "config.stage = ()",
            r"config.stage: there is no such field, did you mean config.stages\?",
        ),
        ("config.batch_sise = 8", r"config.batch_sise: .*, did you mean config.batch_size\?"),
        ("config.lerning_rate = 1", r"did you mean common.stage\(..., learning_rate=...\)\?"),
        (f"config.stages = ({STAGE}, lerning_rate=1),)", r"did you mean .* learning_rate=...\)\?"),
        ("config.nope = 1", "config.nope: there is no such field, see efficientnet/config.py"),
        ("print(config.bach_size)", r"config.bach_size: .*, did you mean config.batch_size\?"),
        # Values.
        ("config.batch_size = '32'", "config.batch_size is '32': expected a whole number"),
        ("config.batch_size = 0", "config.batch_size is 0: expected at least 1"),
        ("config.data.source = None", "config.data.source is None: expected text"),
        ("config.data = 'photos'", "config.data is 'photos': expected fields, such as config.data"),
        (
            f"config.stages = ({STAGE}, learning_rate='1e-3'),)",
            "stage 'head' has learning_rate '1e-3': expected a number more than 0",
        ),
        ("config.stages = (common.stage('a', 'all'),)", "missing 1 .* argument: 'epochs'"),
    ],
)
@pytest.mark.parametrize("overrides", [(), ("--config.seed=1",)])
def test_a_wrong_line_of_a_recipe_is_named(
    tmp_path: pathlib.Path, line: str, message: str, overrides: tuple[str, ...]
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(RECIPE.format(line))
    assert re.match(f"{path}, line 7: .*{message}", error_of(path, *overrides))


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("", r"get_config\(\) returns nothing: end it with `return config`"),
        (
            "return config.stages",
            r"get_config\(\) returns a tuple: expected the config that common",
        ),
        ("return {}", r"get_config\(\) returns a dict: expected the config"),
        ("return common.get_config", r"get_config\(\) returns a function: expected"),
    ],
)
@pytest.mark.parametrize("overrides", [(), ("--config.seed=1",)])
def test_a_recipe_that_returns_no_config_is_one_sentence(
    tmp_path: pathlib.Path, returned: str, message: str, overrides: tuple[str, ...]
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(RECIPE.format("pass").replace("return config", returned))
    assert re.match(f"{path}: {message}", error_of(path, *overrides))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("pass", "config.stages is empty: a recipe needs at least one stage"),
        (f"config.stages = ({STAGE}), {STAGE}))", "config.stages has the names head, head: each"),
    ],
)
def test_what_a_whole_recipe_lacks_is_named(
    tmp_path: pathlib.Path, line: str, message: str
) -> None:
    (tmp_path / "mine.py").write_text(RECIPE.format(line))
    assert re.match(message, error_of(tmp_path / "mine.py"))


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--config.learning_rate=1", r"config.learning_rate: .*, write common.stage\("),
        ("--config.stages[0].seed=1", r"common.stage\(..., seed=...\): .*, write config.seed"),
        ("--config.batch_size=0", "config.batch_size is 0: expected at least 1"),
        ("--config.data.cache=tape", "config.data.cache is 'tape': expected one of memory, disk"),
        ("--config.stages[0].dropout=2", "stage .* has dropout 2.0: expected at least 0, below 1"),
        ("--config.stages[0].learning_rate=hi", "stage .* 'hi': expected a number .*, or 'auto'"),
    ],
)
def test_a_wrong_flag_is_named_as_in_a_recipe(flag: str, message: str) -> None:
    assert re.match(message, error_of(pathlib.Path(DEMO), flag))


def test_a_learning_rate_may_be_a_number_or_a_word() -> None:
    for words, rate in (
        (["=auto"], "auto"),
        (["=1e-4"], 1e-4),
        (["", "2"], 2.0),
        (["=auto", "--config.stages[0].learning_rate=1"], 1.0),
    ):
        flag = [f"--config.stages[0].learning_rate{words[0]}", *words[1:]]
        assert recipes.read(DEMO, flag).stages[0].learning_rate == rate


def test_fields_may_come_as_a_dict(tmp_path: pathlib.Path) -> None:
    lines = (
        'config.data = dict(source="folders", directory="photos")',
        "config.stages = [dict(name='a', train='all', epochs=2), " + STAGE + ")]",
        "config.resolution = 64",
        "config.resolution = None",
    )
    path = tmp_path / "mine.py"
    path.write_text(RECIPE.format("\n    ".join(lines)))
    config = recipes.read(str(path), ["--config.stages[0].dropout=0.5"])
    assert (config.data.directory, config.data.cache, config.resolution) == ("photos", "", None)
    assert [(stage.name, stage.epochs, stage.dropout) for stage in config.stages] == [
        ("a", 2.0, 0.5),
        ("head", 1.0, None),
    ]


def test_a_folder_is_no_recipe() -> None:
    assert error_of(pathlib.Path("configs")) == (
        "--config=configs: that is a folder, expected a recipe, see docs/tutorial.md"
    )


def test_a_name_without_its_ending_is_guessed() -> None:
    path = pathlib.Path(DEMO).with_suffix("")
    assert error_of(path).endswith("there is no such file, did you mean configs/solar_lite0.py?")


def test_a_recipe_may_be_a_plain_config_dict(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "mine.py"
    content = """
from ml_collections import ConfigDict
def get_config():
    stage = ConfigDict(dict(name="head", train="predictions", epochs=1))
    return ConfigDict(dict(variant="lite0", stages=(stage,), data=dict(source="elpv")))
"""
    path.write_text(content)
    config = recipes.read(str(path), ["--config.seed=3", "--config.stages[0].dropout=0.5"])
    assert (config.variant, config.seed, config.data.source) == ("lite0", 3, "elpv")
    assert (config.stages[0].name, config.stages[0].dropout) == ("head", 0.5)
    path.write_text(content.replace("variant=", "varaint="))
    assert "config.varaint: there is no such field, did you mean config.variant?" in error_of(path)

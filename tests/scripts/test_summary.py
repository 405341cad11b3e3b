"""The tables and the JSON of scripts/summary.py."""

import json

import pytest

from efficientnet.commands import command_line
from efficientnet.commands.summary import main
from efficientnet.network.variants import VARIANTS

CARS = "--config=configs/cars_b0.py"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[list[str], str]:
    """Runs the command, and returns the lines that it prints and the error."""
    command_line.run(main, words)
    printed = capsys.readouterr()
    return printed.out.splitlines(), printed.err


def test_without_a_network_all_variants_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    lines, _ = run(capsys, "--json")
    assert [line.split()[0] for line in lines[1 : len(VARIANTS) + 1]] == list(VARIANTS)
    assert lines[1].split() == ["b0", "224", "5,288,548", "0.39", "G", "21.3", "MB"]
    rows = json.loads(lines[-1])
    assert [row["resolution"] for row in rows] == [v.resolution for v in VARIANTS.values()]


def test_a_network_is_shown_in_groups_and_blocks(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--variant=b0", "--num_classes=196", "--resolution=120", "--json")
    lines, _ = run(capsys, *words)
    table = lines[: lines.index("")]
    assert table[1].split() == ["stem", "60", "x", "60", "x", "32", "928", "3.11", "M"]
    assert "  block1a" in [line[:9] for line in table]
    assert table[-1].split()[:3] == ["total", "196", "4,258,624"]
    result = json.loads(lines[-1])
    assert sum(layer["parameters"] for layer in result["layers"]) == 4_258_624
    assert result["stages"] == []
    more, _ = run(capsys, *words, "--layers")
    assert len(more) == len(lines) + len(result["layers"])


def test_a_recipe_shows_what_its_stages_train(capsys: pytest.CaptureFixture[str]) -> None:
    words = (f"{CARS}:blocks67", "--num_classes=196", "--json")
    lines, _ = run(capsys, *words, "--config.channels=1")
    table = {line.split()[0]: line.split()[-2:] for line in lines[: lines.index("")]}
    assert table["b0"] == ["head", "blocks67"]
    assert table["block5"] == ["-", "-"]
    assert table["block6"] == ["-", "2,008,300"]
    assert table["predictions"] == ["251,076", "251,076"]
    result = json.loads(lines[-1])
    assert result["parameters"] == 4_258_048
    assert [stage["trainable"] for stage in result["stages"]] == [251_076, 3_380_960]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--variant=b9"], "unknown variant 'b9': expected one of b0"),
        (["--num_classes=0"], "--num_classes=0: expected at least 1"),
        ([CARS], "--config needs --num_classes"),
        ([CARS, "--num_classes=2", "--resolution=64"], "a recipe has --config.resolution"),
        ([CARS, "--num_classes=2", "--config.variant=b9"], "unknown variant 'b9'"),
    ],
)
def test_a_wrong_argument_is_one_sentence(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, error = run(capsys, *words)
    assert message in error
    assert not lines
    assert error.count("\n") == 1


def test_an_override_without_a_recipe_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command_line.run(main, ["--variant=b0", "--config.channels=1"])
    assert "unrecognized arguments: --config.channels=1" in capsys.readouterr().err

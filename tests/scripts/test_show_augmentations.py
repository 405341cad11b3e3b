"""The pictures of scripts/show_augmentations.py."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from efficientnet.commands import command_line
from efficientnet.commands.show_augmentations import main
from efficientnet.reporting.photo_sheet import GAP, SIDE

RECIPE = """
from configs import common

def get_config():
    config = common.get_config()
    config.data.source = "folders"
    config.data.directory = {folder!r}
    config.resolution = 16
    config.augment = "flip_left_right|rotate(20)"
    config.stages = (common.stage("head", "predictions", epochs=1),)
    return config
"""


@pytest.fixture
def photos(tmp_path: pathlib.Path) -> pathlib.Path:
    """Ten photos of each of two classes."""
    rng = np.random.default_rng(0)
    for name in ("daisy", "rose"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(10):
            pixels = rng.integers(0, 256, (12, 20, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    return tmp_path / "photos"


def lines(picture: pathlib.Path) -> int:
    """In how many lines there are photos, of those in the first column."""
    with Image.open(picture) as image:
        center = np.asarray(image.convert("L"))[:, GAP + SIDE // 2 - 8 : GAP + SIDE // 2 + 8]
    colored = (center < 255).mean(axis=1) > 0.9
    runs = np.flatnonzero(np.diff(np.concatenate([[0], colored, [0]])))
    return int((np.diff(runs)[::2] > SIDE // 2).sum())


def test_a_photo_is_drawn_with_its_versions(
    photos: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = photos / "grid.png"
    words = [str(photos / "rose" / "1.png"), f"--output={output}", "--resolution=16"]
    more = ["--augment=resize|rotate(40)", "--rows=2", "--columns=5"]
    assert command_line.run(main, [*words, *more]) == 0
    with Image.open(output) as picture:
        assert picture.width == GAP + 5 * (SIDE + GAP)
    assert lines(output) == 1 + 2 + 2
    assert capsys.readouterr().out == f"wrote {output}\n"


def test_photos_of_a_recipe_are_drawn_with_their_classes(photos: pathlib.Path) -> None:
    recipe, output = photos / "recipe.py", photos / "grid.png"
    recipe.write_text(RECIPE.format(folder=str(photos)))
    words = [f"--config={recipe}", f"--output={output}", "--rows=2", "--columns=2"]
    assert command_line.run(main, words) == 0
    assert lines(output) == 2 + 1 + 2 + 2
    # A photo of one's own needs none of the data.
    more = ["--config.data.directory=nowhere", "--config.augment=rotate(20)"]
    assert command_line.run(main, [str(photos / "rose" / "1.png"), *words, *more]) == 0
    assert lines(output) == 1 + 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("--augment=spin", "unknown augmentation 'spin'"),
        ("--preprocess=rotate", "evaluation must not be random"),
        ("--resolution=0", "resolution=0"),
        ("--output=no/x.png", "there is no folder"),
        ("--output=x.jpg", "expected a name ending in .png"),
        ("--rows=100000", "expected at most 1000 variants"),
        ("--columns=0", "--rows and --columns should be positive"),
        ("--config=recipe.py", "--augment goes without --config"),
    ],
)
def test_a_wrong_argument_is_one_sentence(
    change: str, message: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The photo is not there either: the arguments are looked at first.
    words = [f"{tmp_path}/no.jpg", f"--output={tmp_path}/x.png", "--augment=rotate(40)"]
    assert command_line.run(main, [*words, change]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_photo_that_is_not_there_is_named(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"{tmp_path}/no.jpg", f"--output={tmp_path}/x.png", "--augment=rotate(40)"]
    assert command_line.run(main, words) == 1
    assert f"error: {tmp_path}/no.jpg can't be read" in capsys.readouterr().err


def test_a_photo_or_a_recipe_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--augment=rotate"], ["photo.jpg"], ["a.jpg", "--augment=rotate", "--rowz=1"]):
        with pytest.raises(SystemExit, match="2"):
            command_line.run(main, [*words, "--output=x.png"])
    errors = capsys.readouterr().err
    assert errors.count("expected a photo and --augment, or --config") == 2
    assert "unrecognized arguments: --rowz=1" in errors

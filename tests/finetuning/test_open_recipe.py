"""What is decided is written down, and is taken from there ever after."""

import pathlib
from typing import Any

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from configs import auto, common, recipe_file
from efficientnet.commands import recipes
from efficientnet.errors import UserError
from efficientnet.finetuning import facts, open_recipe
from efficientnet.training.start import NOTHING
from input_pipeline.sources import load_source

REAL_FIND_WEIGHTS = facts.find_weights  # before the fixture replaces it


def asked(photos: pathlib.Path, quality: str = "quick", **fields: Any) -> ConfigDict:
    recipe = auto.get_config(quality)
    recipe.data.directory = str(photos)
    for name, value in fields.items():
        recipe[name] = value
    return recipe


def test_decisions_are_shown_written_and_read_again(
    photos: pathlib.Path, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "efficientnet"):
        config, opened = open_recipe.close(
            asked(photos, batch_size=8, seed=3), str(tmp_path / "run")
        )
    assert opened.source is not None
    assert len(opened.source.splits["train"]) == 38
    shown = caplog.text
    assert "photos: 38 to train on, 10 to test on; 3 classes of 12 to 13 photos" in shown
    assert "color, the shorter side 36 px" in shown
    for said in (
        "Lite0 is the quickest on a CPU",
        "the photos have only 36 px",
        "as you asked",
        "s for head",
    ):
        assert said in shown
    assert (config.batch_size, config.seed, config.data.source) == (8, 3, "folders")
    path = tmp_path / "run" / "recipe.py"
    text = path.read_text()
    assert "    # As you asked\n    config.batch_size = 8\n" in text
    assert f"--config={path}" in text
    assert common.parse(recipe_file.load(str(path))) == config

    caplog.clear()
    with caplog.at_level("INFO", "efficientnet"):
        assert open_recipe.close(asked(photos), str(path.parent)) == (config, NOTHING)
    assert caplog.messages == [f"the recipe is {path}, which was decided before"]


def test_an_edited_recipe_is_taken_and_flags_override_it(
    photos: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    open_recipe.close(asked(photos), str(tmp_path))
    path = tmp_path / "recipe.py"
    path.write_text(path.read_text().replace("config.channels = 3", "config.channels = 1"))
    config, _ = open_recipe.close(asked("elsewhere", log_every_steps=7), str(tmp_path))
    assert (config.channels, config.log_every_steps) == (1, 7)
    assert config.data.directory == "elsewhere"
    with pytest.raises(UserError, match=r"was decided for 'quick', not for 'best': choose another"):
        open_recipe.close(asked(photos, "best"), str(tmp_path))


def test_an_open_recipe_is_only_for_training(photos: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match=r"recipe\.py that it writes to the workdir"):
        recipes.read("configs/auto.py", [f"--config.data.directory={photos}"])
    with pytest.raises(UserError, match=r"auto\.py:fast: expected one of quick, best"):
        recipe_file.load("configs/auto.py:fast")
    with pytest.raises(UserError, match=r"has no photos: say where they are, by --config\.data"):
        open_recipe.close(auto.get_config(), str(tmp_path / "none"))
    with pytest.raises(UserError, match="no directory gone"):
        open_recipe.close(asked("gone"), str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="holds a run whose recipe was not decided here"):
        open_recipe.close(asked(photos), str(tmp_path))
    assert not (tmp_path / "recipe.py").exists()


def test_gray_photos_are_told_from_colors(tmp_path: pathlib.Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(5):
            gray = rng.integers(0, 256, (40, 60, 1), np.uint8).repeat(3, axis=2)
            Image.fromarray(gray).save(tmp_path / name / f"{number}.jpg", quality=80)
    (tmp_path / "a" / "0.jpg").write_bytes(b"no photo")
    seen = facts.of_photos(load_source("folders", str(tmp_path)))
    assert seen.gray
    assert (seen.side, seen.classes) == (40, 2)
    Image.new("RGB", (60, 40), (200, 60, 60)).save(tmp_path / "b" / "1.jpg")
    Image.new("RGB", (60, 40), (200, 60, 60)).save(tmp_path / "b" / "2.jpg")
    Image.new("RGB", (60, 40), (200, 60, 60)).save(tmp_path / "b" / "3.jpg")
    assert not facts.of_photos(load_source("folders", str(tmp_path))).gray


def test_missing_weights_are_looked_for_until_a_download_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = []

    def load(word: str, variant: str) -> None:
        tried.append((word, variant))
        raise UserError(f"{word} is nowhere")

    monkeypatch.setattr(facts, "load_pretrained", load)
    candidates = [("noisy_student", "b3"), ("noisy_student", "b2"), ("lite_wheel", "lite0")]
    found = REAL_FIND_WEIGHTS(candidates)
    assert tried == [("noisy_student", "b3"), ("lite_wheel", "lite0")]
    assert found == facts.Weights("", "", ("noisy_student", "lite_wheel"))

    # What is on this machine needs no download, be it the file or its copy from the Hub.
    tried.clear()
    monkeypatch.setattr(facts, "at_hand", lambda entry: entry.variant == "b2")
    REAL_FIND_WEIGHTS(candidates)
    assert tried == candidates

"""Tiny photos, and a tiny network whose weights are at hand."""

import pathlib
from collections.abc import Iterator

import numpy as np
import pytest
import tiny as tiny_run
from PIL import Image

from efficientnet.finetuning import facts, forecast
from efficientnet.network.variants import VARIANTS

COLORS = {"blue": (60, 60, 200), "green": (60, 200, 60), "red": (200, 60, 60)}


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with a folder of 16 photos for each class."""
    folder = tmp_path_factory.mktemp("data") / "photos"
    rng = np.random.default_rng(0)
    for name, color in COLORS.items():
        (folder / name).mkdir(parents=True)
        for number in range(16):
            pixels = rng.normal(color, 40, (44, 36, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module", autouse=True)
def tiny_network() -> Iterator[None]:
    """A variant `tiny`; nothing is downloaded, and nothing large is compiled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VARIANTS, "tiny", tiny_run.VARIANT)
        patch.setattr(
            facts, "find_weights", lambda candidates: facts.Weights("lite_wheel", "lite0")
        )
        speed = forecast.Speed(100.0, 1.0, 0.001, shared_cores=False)
        patch.setattr(forecast, "measure", lambda *_: speed)
        yield

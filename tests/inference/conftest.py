"""A tiny run on a folder of photos, trained once for all tests here."""

import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from configs import common
from efficientnet.network.variants import VARIANTS, Variant
from efficientnet.training.run import run

TINY = Variant(width=0.25, depth=0.3, resolution=32, dropout=0.2)
COLORS = {"blue": (60, 60, 200), "green": (60, 200, 60), "red": (200, 60, 60)}


class Trained(NamedTuple):
    workdir: pathlib.Path
    photos: pathlib.Path  # class folders under train/ and test/


@pytest.fixture(scope="session")
def _tiny_variant() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VARIANTS, "tiny", TINY)
        yield


@pytest.fixture(scope="session")
def trained(_tiny_variant: None, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    rng = np.random.default_rng(0)
    for split, count in (("train", 16), ("test", 7)):
        for name, color in COLORS.items():
            (folder / "photos" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.normal(color, 40, (44, 36, 3)).clip(0, 255).astype(np.uint8)
                path = folder / "photos" / split / name / f"{number}.png"
                Image.fromarray(pixels).save(path)
    config = common.get_config()
    config.variant = "tiny"
    config.weights = ""
    config.resolution = 40
    config.head_batch_norm = True
    config.preprocess = "center_crop(0.8)"
    config.data.source = "folders"
    config.data.directory = str(folder / "photos")
    config.batch_size = 8
    config.stages = (common.stage("all", train="all", epochs=1, batch_norm="trained"),)
    run(common.parse(config), str(folder / "run"))
    return Trained(folder / "run", folder / "photos")

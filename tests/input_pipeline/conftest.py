"""Photos that several tests read."""

import pathlib

import numpy as np
import pytest
from PIL import Image
from preparing import encoded

from input_pipeline.sources.split import Split, from_files


def smooth_photo(height: int, width: int, seed: int) -> np.ndarray:
    """uint8 [height, width, 3] whose colors change slowly, as in a photo."""
    noise = np.random.default_rng(seed).integers(0, 256, (4, 5, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """37 photos of many sizes, JPEG and PNG, color and gray."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(37):
        image = Image.fromarray(smooth_photo(40 + 3 * number, 90 - number, number))
        if number % 5 == 0:
            image = image.convert("L")
        image.save(folder / f"{number:02d}.{'png' if number % 3 == 0 else 'jpg'}")
    return folder


@pytest.fixture(scope="session")
def photos(photo_folder: pathlib.Path) -> Split:
    names = sorted(path.name for path in photo_folder.iterdir())
    return from_files(photo_folder, names, [number % 4 for number in range(len(names))])


@pytest.fixture
def folder(tmp_path):
    """Five photos to train on and two to test, in two classes."""
    for number in range(7):
        split = "train" if number < 5 else "test"
        path = tmp_path / "photos" / split / ("daisy", "tulip ü")[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(number))
    return tmp_path / "photos"

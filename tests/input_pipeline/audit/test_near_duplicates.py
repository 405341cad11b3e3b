import cv2
import numpy as np
import pytest

from input_pipeline.audit import near_duplicates
from input_pipeline.audit.photos import THUMBNAIL


def photo(seed: int, side: int = 160) -> np.ndarray:
    """Shapes of all sizes on a gradient."""
    rng = np.random.default_rng(seed)
    image = np.full((side, side), 128, np.uint8)
    for radius in (50, 40, 30, *[18] * 8, *[8] * 30):
        x, y, gray = rng.integers(0, (side, side, 256)).tolist()
        cv2.ellipse(image, (x, y), (radius, radius // 2), x, 0, 360, gray, -1)
    return image


def squeezed(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)


def encoded(image: np.ndarray) -> np.ndarray:
    content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 25])[1]
    return cv2.imdecode(content, cv2.IMREAD_GRAYSCALE)


COPIES = {
    "encoded anew": encoded,
    "smaller": lambda image: cv2.resize(image, (70, 60), interpolation=cv2.INTER_AREA),
    "larger": lambda image: cv2.resize(image, (400, 300)),
    "brighter": lambda image: cv2.convertScaleAbs(image, alpha=1.2, beta=20),
    "darker": lambda image: cv2.convertScaleAbs(image, alpha=0.5),
    "cropped at a corner": lambda image: image[16:, 16:],
    "cropped around": lambda image: image[8:-8, 8:-8],
    "cropped at one side": lambda image: image[:, :-16],
    "mirrored": lambda image: image[:, ::-1],
    "all at once": lambda image: encoded(cv2.convertScaleAbs(image[5:-9, 12:][:, ::-1], beta=20)),
}


@pytest.fixture(scope="module")
def originals() -> list[np.ndarray]:
    return [photo(seed) for seed in range(30)]


@pytest.mark.parametrize("change", COPIES)
def test_a_changed_copy_is_found_and_nothing_else(originals, change):
    copies = [COPIES[change](originals[seed]) for seed in (3, 20)]
    thumbnails = np.stack([squeezed(image) for image in [*originals, *copies]])
    compared: list[int] = []
    pairs = near_duplicates.find(thumbnails, compared.append)
    assert [pair[:2] for pair in pairs] == [(3, 30), (20, 31)]
    assert all(near_duplicates.LEAST_FINE <= pair.similarity <= 1 for pair in pairs)
    assert sum(compared) == 2 * len(thumbnails)


def test_photos_of_one_shape_with_other_details_are_none():
    """A car of the same model in the same place is another photo."""
    rng = np.random.default_rng(0)
    shape = cv2.GaussianBlur(photo(1), (0, 0), 8)
    different = [
        cv2.add(shape, cv2.resize(rng.integers(0, 50, (32, 32)).astype(np.uint8), shape.shape))
        for _ in range(4)
    ]
    assert not near_duplicates.find(np.stack([squeezed(x) for x in different]), lambda count: None)


@pytest.mark.parametrize("images", [[], [photo(0)], [np.full((99, 99), 7, np.uint8)] * 3])
def test_there_may_be_nothing_to_compare(images):
    thumbnails = [squeezed(image) for image in images]
    array = np.array(thumbnails, np.uint8).reshape(-1, THUMBNAIL, THUMBNAIL)
    assert not near_duplicates.find(array, lambda count: None)

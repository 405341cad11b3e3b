"""What pictures of augmentations show of a photo, and that nothing in them is cut."""

import numpy as np
import pytest

from efficientnet.reporting import augmentations, photo_sheet
from efficientnet.reporting.fonts import drawable
from efficientnet.reporting.photo_sheet import GAP, SIDE, Photo, Section
from input_pipeline import Loader, Split

RNG = np.random.default_rng(0)
PHOTOS = RNG.integers(0, 256, (3, 30, 40, 3), np.uint8)
SPLIT = Split(np.array([0, 2, 1], np.int32), ["a.png", "b.png", "c.png"], PHOTOS.__getitem__)


def sections(augment: str, class_names: tuple[str, ...] = (), preprocess: str = "pad") -> list:
    loader = Loader(
        SPLIT, batch_size=1, resolution=16, augment=augment, preprocess=preprocess, threads=1
    )
    return list(augmentations.sections(loader, class_names, columns=4, count=6))


def pixels(section: Section) -> np.ndarray:
    return np.stack([photo.pixels for photo in section.photos])


def test_each_operation_is_shown_by_itself_and_then_all_together() -> None:
    text = "random_resized_crop(scale=(0.5, 1.0))|pad|flip_left_right|rotate(25)"
    labeled, as_it_is, crop, pad, flip, rotate, together = sections(text, ("x", "y", "z"))
    assert [photo.caption for photo in labeled.photos] == ["x", "z", "y"]

    whole, evaluated = as_it_is.photos
    assert as_it_is.title == "a.png"
    np.testing.assert_array_equal(whole.pixels, PHOTOS[0])  # in its own shape
    assert [whole.caption, evaluated.caption] == ["40 x 30 pixels", "in evaluation: pad"]
    np.testing.assert_array_equal(evaluated.pixels, labeled.photos[0].pixels)

    assert crop.title == "random_resized_crop(scale=(0.5, 1.0))"
    assert rotate.title == "rotate(25)"
    for section, count in ((crop, 4), (rotate, 4), (together, 6)):
        assert len({image.tobytes() for image in pixels(section)}) == count
    mirrored = evaluated.pixels[:, ::-1]
    assert {image.tobytes() for image in pixels(flip)} == {
        evaluated.pixels.tobytes(),
        mirrored.tobytes(),
    }
    assert len(flip.photos) == 2  # each only once
    np.testing.assert_array_equal(pixels(pad), [evaluated.pixels])
    assert together.title.startswith("in training: random_resized_crop(scale=(0.5, 1.0)) | pad")


@pytest.mark.parametrize(
    ("augment", "title", "count"),
    [("", "in training: resize", 1), ("rotate(9)", "in training: rotate(9)", 6)],
)
def test_a_single_operation_is_shown_once(augment: str, title: str, count: int) -> None:
    (_, training) = sections(augment)
    assert training.title == title
    assert len(training.photos) == count


def test_a_photo_keeps_its_shape_and_fills_its_place() -> None:
    red = np.zeros((10, 30, 3), np.uint8)
    red[..., 0] = 200
    gray = np.full((4, 2, 1), 100, np.uint8)
    picture = photo_sheet.draw([Section("two", [Photo(red), Photo(gray)])], columns=2)
    assert picture.shape[1] == 2 * SIDE + 3 * GAP
    rows, columns = np.nonzero((picture == red[0, 0]).all(-1))
    assert (np.ptp(columns) + 1, np.ptp(rows) + 1) == (SIDE, round(SIDE / 3))
    rows, columns = np.nonzero((picture == 100).all(-1))
    assert (np.ptp(columns) + 1, np.ptp(rows) + 1) == (SIDE // 2, SIDE)


@pytest.mark.parametrize("columns", [1, 3])
def test_no_text_is_cut(columns: int) -> None:
    names = drawable(
        ["Chevrolet Silverado 1500 Extended Cab 2012", "m" * 300, "US$ 5 or $ 6"], lines=2
    )
    photos = [Photo(np.full((8, 8, 3), 255, np.uint8), name) for name in names]
    title = "random_resized_crop(scale=(0.5, 1.0)) | " * 9
    picture = photo_sheet.draw([Section(title, photos)], columns)
    assert (picture < 128).any()
    for edge in (picture[:2], picture[-2:], picture[:, :2], picture[:, -2:]):
        assert (edge == 255).all()

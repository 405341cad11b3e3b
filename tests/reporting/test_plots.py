"""What pictures show."""

import os
import pathlib
import subprocess
import sys

import made_up
import numpy as np
import pytest

from efficientnet.reporting import plots, scores


def test_few_classes_are_counted_in_their_cells_and_many_are_not() -> None:
    few = plots.confusion_matrix(np.array([[3, 1], [0, 4]]), ["cat", "dog"])
    assert [text.get_text() for text in few.axes[0].texts] == [
        "3\n75.0%",
        "1\n25.0%",
        "0\n0.0%",
        "4\n100.0%",
    ]
    counts = np.eye(50, dtype=int)
    counts[7, :4] = (1, 2, 0, 0)
    many = plots.confusion_matrix(counts, [str(n) for n in range(50)])
    assert not many.axes[0].texts
    (image,) = many.axes[0].get_images()
    shares = image.get_array()
    assert shares[7, [0, 1, 7]].tolist() == [0.25, 0.5, 0.25]
    assert shares.mask[7, 2:7].all()  # white: no photo
    assert image.get_clim() == (0.25, 1)


def test_a_class_without_photos_has_no_share() -> None:
    figure = plots.confusion_matrix(np.array([[0, 0], [1, 3]]), ["cat", "dog"])
    assert figure.axes[0].texts[0].get_text() == "0\n0.0%"


def test_mistakes_are_black() -> None:
    wrong = np.array([[True, True], [True, False], [False, False]])
    figure = plots.mistakes(wrong, ["one", "two"], np.array([0, 0, 1]), ["cat", "dog"])
    (panel,) = figure.axes
    columns = [image.to_rgba(image.get_array(), bytes=True)[..., 0] for image in panel.get_images()]
    np.testing.assert_array_equal(np.concatenate(columns, axis=1), np.where(wrong, 0, 255))
    places = zip(panel.get_yticks(), panel.get_yticklabels(), strict=True)
    assert [(y, text.get_text()) for y, text in places] == [(1, "cat"), (2.5, "dog")]


def test_figures_become_pixels() -> None:
    found = made_up.predict(3, 20)
    worst = scores.worst_photos(found, 7)
    photos = np.zeros((len(worst), 8, 8, 1), np.uint8)
    pixels = plots.pixels(plots.photo_grid(found, worst, photos))
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.min() == 0
    assert pixels.max() == 255


@pytest.mark.parametrize(
    ("backend", "left"),
    [
        ("module://of_another_environment.backend_inline", "agg"),
        ("module://json.tool", "module://json.tool"),  # any that is there
    ],
)
def test_a_notebooks_backend_that_is_not_installed_is_no_obstacle(backend: str, left: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import efficientnet, matplotlib; print(matplotlib.get_backend())"],
        cwd=pathlib.Path(__file__).resolve().parents[2],
        env=os.environ | {"MPLBACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"{left}\n", done.stderr

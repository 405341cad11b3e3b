"""What pictures show."""

import pathlib

import made_up
import numpy as np

from efficientnet.metrics import METRICS
from efficientnet.records import StageMetrics
from efficientnet.reporting import plots, scores


def test_curves_show_the_weights_that_count_and_mark_the_stages(tmp_path: pathlib.Path) -> None:
    run = made_up.run(tmp_path)
    (panel,) = plots.curves(run.history, run.stages, METRICS["top1"]).axes
    lines = {line.get_label(): line.get_xydata() for line in panel.get_lines()}
    late = run.stages[1].metrics.test["top1"]
    np.testing.assert_allclose(lines["all, validation"], [(3, late + 0.1), (4, late + 0.1)])
    np.testing.assert_allclose(lines["all, train"], [(3, late), (4, late)])
    np.testing.assert_allclose(lines["all, test of the best weights"], [(4, late)])
    boundaries = [line for line in panel.get_lines() if list(line.get_xdata()) == [2.5, 2.5]]
    assert len(boundaries) == 1


def test_the_test_result_stands_at_its_epoch_where_epochs_share_a_step() -> None:
    values = {"top1": 0.5}
    history = [made_up.entry("a", epoch, values) for epoch in (2, 4, 6)]
    stages = [made_up.result("a", StageMetrics(test=values, validation=values), best_epoch=4)]
    (panel,) = plots.curves(history, stages, METRICS["top1"]).axes
    lines = {line.get_label(): line.get_xydata() for line in panel.get_lines()}
    np.testing.assert_allclose(lines["a, test of the best weights"], [(2, 0.5)])


def test_few_classes_are_counted_in_their_cells_and_many_are_not() -> None:
    few = plots.confusion_matrix(np.array([[3, 1], [0, 4]]), ["cat", "dog"])
    assert [text.get_text() for text in few.axes[0].texts] == [
        "3\n75.0%",
        "1\n25.0%",
        "0\n0.0%",
        "4\n100.0%",
    ]
    many = plots.confusion_matrix(np.eye(50, dtype=int), [str(n) for n in range(50)])
    assert not many.axes[0].texts


def test_a_class_without_photos_has_no_share() -> None:
    figure = plots.confusion_matrix(np.array([[0, 0], [1, 3]]), ["cat", "dog"])
    assert figure.axes[0].texts[0].get_text() == "0\n0.0%"


def test_mistakes_are_black() -> None:
    wrong = np.array([[True, True], [True, False], [False, False]])
    (panel,) = plots.mistakes(wrong, ["one", "two"]).axes
    columns = [image.to_rgba(image.get_array(), bytes=True)[..., 0] for image in panel.get_images()]
    np.testing.assert_array_equal(np.concatenate(columns, axis=1), np.where(wrong, 0, 255))


def test_figures_become_pixels(tmp_path: pathlib.Path) -> None:
    found = made_up.predict(3, 20)
    worst = scores.worst_photos(found, 7)
    photos = np.zeros((len(worst), 8, 8, 1), np.uint8)
    pixels = plots.pixels(plots.photo_grid(found, worst, photos))
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.min() == 0
    assert pixels.max() == 255

"""Photos of each class, and the class that stands out."""

import numpy as np
import pytest

from efficientnet.reporting import class_counts

COUNTS = {"train": [40, 41, 68, 39], "test": [42, 41, 68, 41]}
NAMES = ["coupe", "sedan", "<van>", "cab"]


def test_the_class_farthest_from_the_mean_is_named() -> None:
    label, photos, deviations = class_counts.outlier(np.array([82, 82, 136, 80]))
    assert (label, photos) == (2, 136)
    assert deviations == pytest.approx((136 - 95) / np.std([82, 82, 136, 80]))
    assert class_counts.outlier(np.array([90, 91, 20])).label == 2, "few photos stand out as well"


@pytest.mark.parametrize("totals", [[5, 5, 5], [5, 7], [3], [1, 5, 5, 9]])
def test_no_class_is_named_unless_one_alone_is_farthest(totals: list[int]) -> None:
    assert class_counts.outlier(np.array(totals)) is None


def test_the_picture_stacks_the_splits_and_names_the_outlier() -> None:
    (panel,) = class_counts.picture(COUNTS, NAMES).axes
    train, test = (patch.get_data() for patch in panel.patches)
    assert train.values.tolist() == COUNTS["train"]
    assert test.baseline.tolist() == COUNTS["train"]
    assert test.values.tolist() == [82, 82, 136, 80]
    assert [text.get_text() for text in panel.texts] == ["<van>: 136"]
    (mean,) = panel.get_lines()
    assert set(mean.get_ydata()) == {95}


def test_a_page_is_told_how_far_the_outlier_is() -> None:
    shown = class_counts.shown(COUNTS, NAMES)
    assert (shown["name"], shown["mean"]) == ("<van>", "95.0")
    assert class_counts.shown({"train": [2, 2]}, NAMES[:2])["outlier"] is None

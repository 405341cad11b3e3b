"""Metrics against scikit-learn's, and against what can be counted by hand."""

import dataclasses
import math

import made_up
import numpy as np
import pytest
import scipy.stats
from logits import NOT_FINITE
from sklearn import metrics

from efficientnet.metrics import METRICS, in_top, with_top
from efficientnet.reporting import predictions, scores
from efficientnet.reporting.predictions import Predictions


def by_hand(probabilities: list[list[float]], label: list[int]) -> Predictions:
    array = np.asarray(probabilities, np.float32)
    names = tuple(str(number) for number in range(len(label)))
    classes = tuple(str(number) for number in range(array.shape[1]))
    return Predictions(array, np.asarray(label, np.int32), names, classes)


def test_the_summary_is_scikit_learns(found: Predictions) -> None:
    classes = range(len(found.class_names))
    values = scores.summary(found, with_top((1, 2, 3, 5)))
    for k in (1, 3, 5):
        if k < len(classes):
            shown = found.probabilities if len(classes) > 2 else found.probabilities[:, 1]
            expected = metrics.top_k_accuracy_score(found.label, shown, k=k, labels=classes)
            assert values[f"top{k}"] == expected
    assert values["top5"] == 1.0 or len(classes) > 2
    wide = found.probabilities.astype(np.float64)
    wide /= wide.sum(axis=1, keepdims=True)
    expected = metrics.log_loss(found.label, wide, labels=classes)
    assert values["loss"] == pytest.approx(expected, rel=1e-6)
    for average in ("macro", "weighted"):
        for name in ("precision", "recall", "f1"):
            function = getattr(metrics, f"{name}_score")
            expected = function(
                found.label,
                found.predicted,
                labels=np.unique(found.label),
                average=average,
                zero_division=0.0,
            )
            assert values[f"{name}_{average}"] == expected


def test_each_class_is_scikit_learns(found: Predictions) -> None:
    classes = range(len(found.class_names))
    mine = scores.per_class(found)
    for name in ("precision", "recall", "f1"):
        function = getattr(metrics, f"{name}_score")
        expected = function(
            found.label, found.predicted, average=None, labels=classes, zero_division=0.0
        )
        np.testing.assert_array_equal(getattr(mine, name), expected)
    np.testing.assert_array_equal(mine.photos, np.bincount(found.label, minlength=len(classes)))
    counts = scores.confusion(found)
    assert counts.sum() == len(found.label)
    assert np.trace(counts) / len(found.label) == scores.summary(found)["top1"]


def test_a_class_without_photos_is_in_no_mean() -> None:
    values = scores.summary(by_hand([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]], [0, 0]))
    assert (values["precision_macro"], values["recall_macro"]) == (1.0, 0.5)


def test_the_interval_is_that_of_drawing_again() -> None:
    right = in_top(1, scores.outputs(made_up.predict(10, 300)))
    low, high = scores.share_interval(right.mean(), len(right))
    drawn = scipy.stats.bootstrap(
        (right.astype(float),), np.mean, n_resamples=20_000, method="percentile", rng=0
    ).confidence_interval
    assert (low, high) == pytest.approx((drawn.low, drawn.high), abs=1.5 / 300)
    assert low < right.mean() < high


def test_calibration_by_hand() -> None:
    # Two photos at 0.9, one right; two at 0.6, both right.
    found = by_hand([[0.9, 0.1], [0.1, 0.9], [0.6, 0.4], [0.4, 0.6]], [0, 0, 0, 1])
    calibration = scores.calibration(found, bins=10)
    assert calibration.error == pytest.approx((0.4 + 0.4) / 2, abs=1e-6)
    assert calibration.photos.tolist() == [0, 0, 0, 0, 0, 0, 2, 0, 2, 0]


def test_a_confidence_at_an_edge_belongs_below_it() -> None:
    calibration = scores.calibration(by_hand([[0.5, 0.5], [1.0, 0.0]], [0, 0]), bins=2)
    assert calibration.photos.tolist() == [1, 1]


def test_classes_that_are_as_probable_count_against_the_true_one() -> None:
    same = by_hand([[0.25] * 4] * 2, [0, 3])
    assert not in_top(3, scores.outputs(same)).any()
    assert in_top(4, scores.outputs(same)).all()


# All -inf are those of a photo that could not be read.
@pytest.mark.parametrize("logits", [row for row in NOT_FINITE if set(row) != {-math.inf}])
def test_logits_that_are_not_finite_score_nothing(logits: list[float]) -> None:
    classes = [str(number) for number in range(10)]
    found = predictions.from_logits(np.array([logits], np.float32), [0], ["a"], classes)
    values = scores.summary(found)
    assert (values["top1"], values["top5"]) == (0.0, 0.0)
    assert math.isnan(values["loss"])
    assert (values["recall_macro"], values["f1_weighted"]) == (0.0, 0.0)
    assert not scores.confusion(found).any()
    assert scores.worst_photos(found, 1).tolist() == [0]
    assert found.taken_for(0) == "no class"


def test_every_score_counts_the_same_photos_as_right() -> None:
    # Right; two as probable, one of which is true; nothing said.
    found = by_hand([[0.6, 0.2, 0.2], [0.4, 0.4, 0.2], [math.nan] * 3], [0, 0, 0])
    assert found.predicted.tolist() == [0, -1, -1]
    assert np.trace(scores.confusion(found)) == in_top(1, scores.outputs(found)).sum() == 1
    values = scores.summary(found)
    assert values["recall_macro"] == values["top1"] == pytest.approx(1 / 3)
    assert values["precision_macro"] == 1.0
    assert scores.per_class(found).photos.tolist() == [3, 0, 0]


def test_a_class_of_probability_0_has_a_finite_loss() -> None:
    assert scores.summary(by_hand([[1.0, 0.0]], [1]))["loss"] == pytest.approx(87.3, abs=0.1)


def test_pairs_photos_and_classes_come_worst_first() -> None:
    found = by_hand(
        [[0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.1, 0.2, 0.7], [0.3, 0.6, 0.1]],
        [0, 1, 1, 1, 0],
    )
    assert scores.worst_photos(found, 3).tolist() == [2, 1, 3]
    assert scores.worst_photos(found, 9).tolist() == [2, 1, 3, 4]
    pairs = scores.confused_pairs(scores.confusion(found), 2)
    assert [(pair.true, pair.predicted, pair.photos) for pair in pairs] == [(1, 2, 2), (0, 1, 1)]
    assert [pair.share for pair in pairs] == [2 / 3, 1 / 2]
    # The class without a photo is no hard one.
    assert scores.hardest_classes(scores.per_class(found), 5).tolist() == [1, 0]


def test_without_mistakes_there_is_no_pair() -> None:
    found = by_hand([[0.9, 0.1], [0.2, 0.8]], [0, 1])
    assert scores.confused_pairs(scores.confusion(found), 5) == []
    assert not len(scores.worst_photos(found, 5))


def test_predictions_are_whole_and_finite_for_large_logits() -> None:
    found = predictions.from_logits(np.array([[1e4, -1e4]], np.float32), [0], ["a"], ["x", "y"])
    np.testing.assert_array_equal(found.probabilities, [[1.0, 0.0]])
    assert {field.name for field in dataclasses.fields(found)} == {
        "probabilities",
        "label",
        "names",
        "class_names",
    }


def test_the_interval_over_folds_allows_for_training_sets_that_overlap() -> None:
    found = scores.fold_mean(METRICS["loss"], [0.7, 0.8, 0.9])
    assert found.mean == pytest.approx(0.8)
    assert found.std == pytest.approx(0.1)
    # Student's t for 2 degrees of freedom is 4.303, and the variance factor 1/3 + 1/2.
    reach = 4.303 * 0.1 * (5 / 6) ** 0.5
    assert (found.low, found.high) == pytest.approx((0.8 - reach, 0.8 + reach), abs=1e-3)
    share = scores.fold_mean(METRICS["top1"], [0.7, 0.8, 0.9])
    assert (share.low, share.high) == pytest.approx((0.8 - reach, 1.0), abs=1e-3)
    alike = scores.fold_mean(METRICS["top1"], [0.5, 0.5])
    assert (alike.low, alike.std, alike.high) == (0.5, 0, 0.5)

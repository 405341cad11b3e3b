"""Metrics of predictions: functions of all predictions of a split."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import scipy.stats
from sklearn import metrics

from efficientnet.metrics import METRICS, Metric, Outputs, in_top
from efficientnet.records import FoldMean
from efficientnet.reporting.predictions import Predictions

CALIBRATION_BINS = 15  # as Guo et al. 2017


def outputs(predictions: Predictions) -> Outputs:
    """Returns the input of the metrics that are means over examples.

    The loss is at most 87.3 nats, because float32 has no smaller probability; the loss of an
    `Evaluator`, computed from logits, has no such bound.
    """
    smallest = np.finfo(np.float32).tiny
    loss = -np.log(np.maximum(predictions.of_truth, smallest), dtype=np.float64)
    return Outputs(predictions.probabilities, predictions.of_truth, loss)


def share_interval(share: float, count: int) -> tuple[float, float]:
    """Returns the bootstrap 95 % interval of a share of `count` examples, by percentiles.

    A share of resampled examples is distributed as Binomial(count, share) / count, with known
    percentiles, so nothing has to be drawn (Efron and Tibshirani 1993, chapter 13).
    """
    low, high = scipy.stats.binom.ppf((0.025, 0.975), count, share) / count
    return float(low), float(high)


def fold_mean(metric: Metric, values: Sequence[float]) -> FoldMean:
    """Returns mean, standard deviation and 95 % interval of a metric over at least two folds.

    The interval is Student's, with the variance corrected for training sets that overlap (Nadeau
    and Bengio 2003, section 3): no estimate of it is unbiased (Bengio and Grandvalet 2004).
    """
    folds = len(values)
    mean, std = float(np.mean(values)), float(np.std(values, ddof=1))
    # The photos of a fold are 1 / (folds - 1) of those that are trained on.
    error = std * float(np.sqrt(1 / folds + 1 / (folds - 1)))
    reach = float(scipy.stats.t.ppf(0.975, folds - 1)) * error
    most = 1.0 if metric.unit == "percent" else np.inf
    return FoldMean(mean=mean, std=std, low=max(mean - reach, 0.0), high=min(mean + reach, most))


class PerClass(NamedTuple):
    """Metrics of each class; 0 if the denominator is 0."""

    precision: np.ndarray  # float [classes]
    recall: np.ndarray  # float [classes]
    f1: np.ndarray  # float [classes]
    photos: np.ndarray  # int [classes]


def per_class(predictions: Predictions) -> PerClass:
    """Returns precision, recall, F1 and the number of photos of each class."""
    return PerClass(
        *metrics.precision_recall_fscore_support(
            predictions.label,
            predictions.predicted,
            labels=range(len(predictions.class_names)),
            zero_division=0.0,
        )
    )


def confusion(predictions: Predictions) -> np.ndarray:
    """Returns how many photos of each class (rows) are predicted as each class (columns), int.

    Photos without a predicted class are left out.
    """
    classes = range(len(predictions.class_names))
    return metrics.confusion_matrix(predictions.label, predictions.predicted, labels=classes)


class Calibration(NamedTuple):
    """Accuracy by confidence, in bins of equal width."""

    error: float  # expected calibration error (ECE): mean |accuracy - confidence|
    edges: np.ndarray  # float [bins + 1]
    photos: np.ndarray  # int [bins]
    confidence: np.ndarray  # float [bins], mean probability of the predicted class; 0 if empty
    accuracy: np.ndarray  # float [bins]; 0 if empty


def calibration(predictions: Predictions, bins: int = CALIBRATION_BINS) -> Calibration:
    """Returns the expected calibration error and its bins (Guo et al. 2017, equation 3)."""
    confidence = predictions.probabilities.max(axis=1).astype(np.float64)
    right = predictions.predicted == predictions.label
    edges = np.linspace(0, 1, bins + 1)
    # Bins are open below and closed above.
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    photos = np.bincount(place, minlength=bins)
    at_least_one = np.maximum(photos, 1)
    sure = np.bincount(place, confidence, minlength=bins) / at_least_one
    accurate = np.bincount(place, right, minlength=bins) / at_least_one
    error = float(np.abs(accurate - sure) @ photos / len(right))
    return Calibration(error, edges, photos, sure, accurate)


def summary(predictions: Predictions, rows: Mapping[str, Metric] | None = None) -> dict[str, float]:
    """Returns the metrics of a split by name, by default all of `efficientnet.metrics.METRICS`."""
    found = outputs(predictions)
    return {
        name: float(metric.per_example(found).mean())
        if metric.per_example
        else OF_SPLIT[name](predictions)
        for name, metric in (METRICS if rows is None else rows).items()
    }


def _top1_interval(predictions: Predictions) -> tuple[float, float]:
    right = in_top(1, outputs(predictions))
    return share_interval(float(right.mean()), len(right))


def _class_mean(score: Callable[..., float], average: str, predictions: Predictions) -> float:
    """Returns a scikit-learn score, averaged over the classes that have photos."""
    return float(
        score(
            predictions.label,
            predictions.predicted,
            labels=np.unique(predictions.label),
            average=average,
            zero_division=0.0,
        )
    )


# The metrics of a whole split, by their names in `METRICS`.
OF_SPLIT: dict[str, Callable[[Predictions], float]] = {
    "top1_low": lambda predictions: _top1_interval(predictions)[0],
    "top1_high": lambda predictions: _top1_interval(predictions)[1],
    "precision_macro": partial(_class_mean, metrics.precision_score, "macro"),
    "recall_macro": partial(_class_mean, metrics.recall_score, "macro"),
    "f1_macro": partial(_class_mean, metrics.f1_score, "macro"),
    "precision_weighted": partial(_class_mean, metrics.precision_score, "weighted"),
    "recall_weighted": partial(_class_mean, metrics.recall_score, "weighted"),
    "f1_weighted": partial(_class_mean, metrics.f1_score, "weighted"),
    "calibration_error": lambda predictions: calibration(predictions).error,
}


class Pair(NamedTuple):
    """Photos of one class that are predicted as another."""

    true: int
    predicted: int
    photos: int
    share: float  # of the photos of the true class


def confused_pairs(counts: np.ndarray, limit: int) -> list[Pair]:
    """Returns the most often confused pairs of classes, the most frequent first.

    Args:
      counts: int [true class, predicted class].
      limit: maximum number of pairs.
    """
    wrong = counts - np.diag(np.diag(counts))
    order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
    places = zip(*np.unravel_index(order, wrong.shape), strict=True)
    return [
        Pair(int(t), int(p), int(wrong[t, p]), float(wrong[t, p] / counts[t].sum()))
        for t, p in places
        if wrong[t, p]
    ]


def worst_photos(predictions: Predictions, limit: int) -> np.ndarray:
    """Returns the indices of wrong photos, those with the least probable true class first."""
    order = np.argsort(predictions.of_truth, kind="stable")
    return order[predictions.predicted[order] != predictions.label[order]][:limit]


def hardest_classes(classes: PerClass, limit: int) -> np.ndarray:
    """Returns the indices of the classes with the lowest recall, then F1, the hardest first."""
    order = np.lexsort((classes.f1, classes.recall))
    return order[classes.photos[order] > 0][:limit]

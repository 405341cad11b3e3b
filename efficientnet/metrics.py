"""The table of metrics, which is read by all code that computes, saves or shows results.

To add a metric, add a row to `METRICS`. A metric that is a mean over examples has its function in
the row, and is computed in training and validation too. Any other metric of a whole split has a
function of the same name in `efficientnet.reporting.scores`.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple


class Outputs(NamedTuple):
    """The outputs of a network for n examples, as NumPy or JAX arrays.

    Functions that use only operators and methods work with both.
    """

    scores: Any  # [n, classes], logits or probabilities
    true_score: Any  # [n], of the true class
    loss: Any  # [n], cross-entropy in nats


@dataclasses.dataclass(frozen=True)
class Metric:
    """A row of the table.

    Attributes:
      name: in saved files, in TensorBoard, and for a stage's `monitor`.
      title: in pages and plots.
      heading: of its column; tables of results omit metrics without one.
      unit: of its values; percent means fractions from 0 to 1, shown in percent.
      higher_is_better: whether higher values are better.
      per_example: returns [n] for n examples, the mean of which is the metric; None for a metric
        of a whole split, which is computed only for the test results.
      bounds: names of the metrics that are the ends of its 95 % interval.
      plotted: whether pages plot its curve.
      highlighted: whether the report shows it at the top.
      note: a remark beside it there.
      least_classes: number of classes below which it is meaningless.
    """

    name: str
    title: str
    heading: str = ""
    unit: Literal["percent", "nats"] = "percent"
    higher_is_better: bool = True
    per_example: Callable[[Outputs], Any] | None = None
    bounds: tuple[str, str] | None = None
    plotted: bool = False
    highlighted: bool = False
    note: str = ""
    least_classes: int = 2

    def worth(self, value: float | None) -> float:
        """Returns the value such that more is better; the worst one if None or not finite."""
        if value is None or not math.isfinite(value):
            return -math.inf
        return value if self.higher_is_better else -value

    def short(self, value: float) -> str:
        """Formats a value for pages: '89.3 %' or '0.412'."""
        return f"{100 * value:.1f} %" if self.unit == "percent" else f"{value:.3f}"

    def exact(self, value: float) -> str:
        """Formats a value for terminals: '89.31%' or '0.4123 nats'."""
        return f"{value:.2%}" if self.unit == "percent" else f"{value:.4f} nats"


def in_top(k: int, outputs: Outputs) -> Any:
    """Returns whether the true class is among the k with the highest scores, bool [n].

    Ties and NaN count against the example, so that equal scores for all classes are never right.
    """
    return (~(outputs.scores < outputs.true_score[:, None])).sum(-1) <= k


def top(k: int, **more: Any) -> Metric:
    """Returns the row of top-k accuracy."""
    return Metric(
        f"top{k}",
        f"Top-{k} accuracy",
        heading=f"Top-{k}",
        per_example=lambda outputs: in_top(k, outputs),
        least_classes=k + 1,
        **more,
    )


_ROWS = (
    top(1, bounds=("top1_low", "top1_high"), plotted=True, highlighted=True),
    top(3, plotted=True),
    top(5, plotted=True, highlighted=True),
    Metric(
        "loss",
        "Loss (nats)",
        heading="Loss",
        unit="nats",
        higher_is_better=False,
        per_example=lambda outputs: outputs.loss,
        plotted=True,
    ),
    # The bootstrap 95 % interval of top-1.
    Metric("top1_low", "Lower end of top-1"),
    Metric("top1_high", "Upper end of top-1"),
    # Means over the classes that have photos, unweighted and weighted by the number of photos.
    Metric("precision_macro", "Precision"),
    Metric("recall_macro", "Recall"),
    Metric("f1_macro", "F1", heading="F1", highlighted=True, note="mean over classes"),
    Metric("precision_weighted", "Precision, weighted"),
    Metric("recall_weighted", "Recall, weighted"),
    Metric("f1_weighted", "F1, weighted"),
    Metric(
        "calibration_error",
        "Calibration error",
        higher_is_better=False,
        highlighted=True,
        note="smaller is better",
    ),
)
METRICS = {metric.name: metric for metric in _ROWS}


def with_top(numbers: Sequence[int]) -> dict[str, Metric]:
    """Returns the table with the given top-k accuracies in place of its own."""
    others = {n: row for n, row in METRICS.items() if not n.removeprefix("top").isdigit()}
    return {row.name: row for row in map(top, numbers)} | others


def per_example() -> dict[str, Metric]:
    """Returns the metrics that are computed in training and validation, and can be monitored."""
    return {name: metric for name, metric in METRICS.items() if metric.per_example}

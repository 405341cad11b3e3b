"""The page `report/index.html` of a cross-validation."""

from collections.abc import Iterator, Mapping
from typing import Any

from etils import epath

from efficientnet.metrics import METRICS
from efficientnet.paths import write_whole
from efficientnet.records import CrossValidation, FoldMean
from efficientnet.reporting import pages, report
from efficientnet.reporting.predictions import Predictions

LAST_ROWS = {"mean": "mean", "standard deviation": "std", "95 % from": "low", "95 % to": "high"}
SHOWN = [metric for metric in METRICS.values() if metric.heading]


def header() -> tuple[str, ...]:
    """Returns the headings of the columns of `rows`."""
    return ("Fold", *(metric.heading for metric in SHOWN))


def rows(result: CrossValidation, split: str) -> Iterator[tuple[str, ...]]:
    """Yields a row for each fold, then mean, standard deviation and 95 % interval.

    Args:
      result: of the cross-validation.
      split: 'validation' or 'test'.
    """
    for number, fold in enumerate(result.folds):
        values: Mapping[str, float] = getattr(fold, split)
        yield (str(number), *(metric.short(values[metric.name]) for metric in SHOWN))
    over: Mapping[str, FoldMean] = getattr(result, split)
    for title, field in LAST_ROWS.items():
        yield (title, *(m.short(getattr(over[m.name], field)) for m in SHOWN))


def write_page(
    path: epath.Path, title: str, result: CrossValidation, found: Predictions, **more: Any
) -> None:
    """Writes the self-contained page.

    Args:
      path: of the page.
      title: of the page.
      result: of the cross-validation.
      found: the predictions of the networks that were not trained on the photo.
      **more: `config`, of one of the runs, and `suspected`, the address of the page of suspected
        labels.
    """
    content = pages.render(
        "cross_validation.html",
        title=title,
        result=result,
        header=header(),
        validation=list(rows(result, "validation")),
        test=list(rows(result, "test")),
        **report.by_class(found),
        **more,
    )
    write_whole(path, content)

"""Comparing runs: curves, a table, and which photos each run gets wrong."""

import pathlib
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
from etils import epath

from efficientnet.errors import UserError
from efficientnet.paths import make_folder, write_whole
from efficientnet.reporting import curves, pages, plots, tables
from efficientnet.reporting.predictions import Predictions
from efficientnet.reporting.runs import Run
from efficientnet.reporting.tables import duration, percent

PAGE = "index.html"


class Comparison:
    """Runs that were tested on the same photos, each represented by its last stage.

    Attributes:
      names: of the runs, all different.
      wrong: bool [photos, runs], which run gets which test photo wrong, in the split's order.
      order: int [photos], the hardest photo first: by the number of runs that get it wrong, then by
        the probability of its true class.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        """Reads the runs' predictions.

        Raises:
          UserError: there is only one run, or their test photos differ.
        """
        if len(runs) < 2:
            raise UserError("a comparison needs two runs or more")
        self.runs = runs
        self.names = short_names([str(run.folder) for run in runs])
        self.predictions = [run.predictions(run.result.name) for run in runs]
        for run, found in zip(runs, self.predictions, strict=True):
            _check_same(runs[0], self.predictions[0], run, found)
        self.wrong = np.stack([np.not_equal(p.predicted, p.label) for p in self.predictions], 1)
        of_truth = np.mean([found.of_truth for found in self.predictions], axis=0)
        self.order = np.lexsort((of_truth, -self.wrong.sum(axis=1)))

    @property
    def never_right(self) -> np.ndarray:
        """Returns the indices of the photos that no run gets right, the hardest first."""
        return self.order[self.wrong[self.order].all(axis=1)]

    @property
    def header(self) -> tuple[str, ...]:
        """Returns the headings of the columns of `rows`."""
        return ("Run", *tables.result_headings(), "Trainable", "Trained in")

    def rows(self) -> Iterator[tuple[str, ...]]:
        """Returns a row of results for each run."""
        for name, run in zip(self.names, self.runs, strict=True):
            stage = run.result
            yield (
                name,
                *tables.results(stage.metrics.test),
                f"{stage.parameters.trainable:,}",
                duration(run.seconds),
            )

    def table(self) -> str:
        """Returns headings and rows as aligned text."""
        return tables.aligned(self.header, list(self.rows()))


def short_names(folders: Sequence[str]) -> list[str]:
    """Returns the names of the folders, or as much of their paths as is needed to be unique.

    Raises:
      UserError: two folders are the same.
    """
    paths = [pathlib.PurePath(folder).parts for folder in folders]
    for count in range(1, 1 + max(map(len, paths))):
        names = ["/".join(parts[-count:]) for parts in paths]
        if len(set(names)) == len(names):
            return names
    raise UserError("the same run is named twice: name each once")


def _check_same(one: Run, expected: Predictions, other: Run, found: Predictions) -> None:
    difference = _difference("classes", expected.class_names, found.class_names)
    difference = difference or _difference("photos", _labeled(expected), _labeled(found))
    if difference:
        raise UserError(
            f"{one.folder} and {other.folder} were tested on different {difference}: compare runs "
            "of one test set"
        )


def _difference(kind: str, expected: Sequence[str], found: Sequence[str]) -> str:
    """Describes how two lists differ; '' if they don't."""
    if len(expected) != len(found):
        return f"{kind} ({len(expected)} and {len(found)})"
    pairs = zip(expected, found, strict=True)
    return next((f"{kind} ({one} and {other})" for one, other in pairs if one != other), "")


def _labeled(found: Predictions) -> list[str]:
    """Returns the name and the true class of each photo."""
    classes = [found.class_names[label] for label in found.label]
    return [f"{name} of {kind}" for name, kind in zip(found.names, classes, strict=True)]


def write_page(folder: epath.Path, comparison: Comparison) -> None:
    """Writes the self-contained page `index.html` to a folder, which is created if needed."""
    histories = {
        name: run.history for name, run in zip(comparison.names, comparison.runs, strict=True)
    }
    mistakes = plots.mistakes(comparison.wrong[comparison.order], comparison.names)
    content = pages.render(
        "comparison.html",
        title="Comparison of runs",
        names=comparison.names,
        photos=len(comparison.order),
        header=comparison.header,
        rows=list(comparison.rows()),
        curves=[
            (pages.drawing(curves.of_runs(histories, panels)), f"{title} of all runs")
            for title, panels in curves.pictures(
                len(comparison.predictions[0].class_names), list(chain(*histories.values()))
            ).items()
        ],
        differences=_differences(comparison),
        mistakes=pages.drawing(mistakes),
        counts=_counts(comparison),
        never_right=list(_never_right(comparison)),
    )
    make_folder(folder)
    write_whole(folder / PAGE, content)


def _differences(comparison: Comparison) -> list[tuple[str, ...]]:
    """Returns the config fields in which the runs differ, with their values in each run."""
    fields = [{name: str(value) for name, value in run.settings.items()} for run in comparison.runs]
    names = list(dict.fromkeys(name for known in fields for name in known))
    return [
        (name, *(known.get(name, "") for known in fields))
        for name in names
        if len({known.get(name) for known in fields}) > 1
    ]


def _counts(comparison: Comparison) -> list[tuple[str, ...]]:
    """Returns how many photos none, one, two ... of the runs get wrong."""
    wrong = comparison.wrong.sum(axis=1)
    found = np.bincount(wrong, minlength=len(comparison.runs) + 1)
    return [
        (str(number), f"{photos:,}", percent(photos / len(wrong)))
        for number, photos in enumerate(found)
    ]


def _never_right(comparison: Comparison) -> Iterator[tuple[str, ...]]:
    """Returns the photos that no run gets right, their true class, and what each run predicts."""
    first = comparison.predictions[0]
    for index in comparison.never_right:
        answers = (
            f"{found.taken_for(index)}, {found.probabilities[index].max():.0%}"
            for found in comparison.predictions
        )
        yield first.names[index], first.class_names[first.label[index]], *answers

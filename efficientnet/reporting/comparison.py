"""Comparing runs: curves, a table, and which photos each run gets wrong."""

import pathlib
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from etils import epath

import input_pipeline
from efficientnet.errors import UserError
from efficientnet.paths import make_folder, write_whole
from efficientnet.reporting import curves, pages, plots, tables, thumbnails
from efficientnet.reporting.predictions import Predictions
from efficientnet.reporting.runs import Run
from efficientnet.reporting.tables import Cell, duration, percent

PAGE = "index.html"
SHOWN_CLASSES, PICTURED_CLASSES, PHOTOS_OF_CLASS = 10, 3, 6
SHOWN_PHOTOS = 12


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
    def by_class(self) -> np.ndarray:
        """Returns the indices of all photos by their class, the hardest of each class first."""
        return self.order[np.argsort(self.predictions[0].label[self.order], kind="stable")]

    @property
    def never_right_by_class(self) -> np.ndarray:
        """Returns the number of photos of each class that no run gets right, int [classes]."""
        labels = self.predictions[0].label[self.never_right]
        return np.bincount(labels, minlength=len(self.predictions[0].class_names))

    def taken_for(self, indices: Sequence[int]) -> tuple[str, int] | None:
        """Returns the most frequent wrong answer for some photos, and the number of answers.

        Answers are counted over all runs; None if there is no wrong one.
        """
        answers = Counter(
            found.taken_for(index)
            for run, found in enumerate(self.predictions)
            for index in indices
            if self.wrong[index, run]
        )
        return next(iter(answers.most_common(1)), None)

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


def write_page(
    folder: epath.Path, comparison: Comparison, photos: input_pipeline.Split | None = None
) -> None:
    """Writes the self-contained page `index.html` to a folder, which is created if needed.

    Args:
      folder: of the page.
      comparison: of runs.
      photos: those that the runs were tested on; without them, the page shows none.
    """
    first = comparison.predictions[0]
    histories = {
        name: run.history for name, run in zip(comparison.names, comparison.runs, strict=True)
    }
    by_class = comparison.by_class
    mistakes = plots.mistakes(
        comparison.wrong[by_class], comparison.names, first.label[by_class], first.class_names
    )
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
                len(first.class_names), list(chain(*histories.values()))
            ).items()
        ],
        differences=_differences(comparison),
        origins=[
            (name, run.run_id, run.commit)
            for name, run in zip(comparison.names, comparison.runs, strict=True)
        ],
        mistakes=pages.drawing(mistakes),
        counts=_counts(comparison),
        hardest=list(_hardest_classes(comparison)),
        of_hardest=list(_photos_of_hardest(comparison, photos)) if photos else [],
        never_right=list(_never_right(comparison)),
        hardest_photos=list(_photos(comparison, comparison.never_right[:SHOWN_PHOTOS], photos))
        if photos
        else [],
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


def ranked_classes(comparison: Comparison) -> list[int]:
    """Returns the labels with photos that no run gets right, those with the most photos first."""
    never = comparison.never_right_by_class
    wrong = np.zeros(len(never))
    np.add.at(wrong, comparison.predictions[0].label, comparison.wrong.sum(axis=1))
    order = np.lexsort((-wrong, -never))
    return [int(label) for label in order if never[label]]


def _hardest_classes(comparison: Comparison) -> Iterator[tuple[Cell, ...]]:
    """Returns the hardest classes: photos that no run gets right, all photos, what they look like.

    Classes with as many such photos are ordered by the mistakes of all runs.
    """
    first, never = comparison.predictions[0], comparison.never_right_by_class
    photos = np.bincount(first.label, minlength=len(never))
    for label in ranked_classes(comparison)[:SHOWN_CLASSES]:
        taken_for = comparison.taken_for(np.flatnonzero(first.label == label).tolist())
        yield (
            first.class_names[label],
            f"{never[label]:,}",
            f"{photos[label]:,}",
            percent(never[label] / photos[label]),
            (taken_for[0], f" ({taken_for[1]:,})") if taken_for else "",
        )


def _photos_of_hardest(
    comparison: Comparison, photos: input_pipeline.Split
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yields the hardest classes, each with some photos that no run gets right."""
    first, never_right = comparison.predictions[0], comparison.never_right
    for label in ranked_classes(comparison)[:PICTURED_CLASSES]:
        shown = never_right[first.label[never_right] == label][:PHOTOS_OF_CLASS]
        yield first.class_names[label], list(_photos(comparison, shown, photos))


def _photos(
    comparison: Comparison, indices: np.ndarray, photos: input_pipeline.Split
) -> Iterator[dict[str, Any]]:
    """Yields photos for the macro `photos`, with the most frequent wrong answer."""
    if not len(indices):
        return
    first = comparison.predictions[0]
    names = [first.names[index] for index in indices]
    config = max((run.config for run in comparison.runs), key=lambda config: config.channels)
    for index, pixels in zip(indices, thumbnails.read(photos, names, config), strict=True):
        answer, number = comparison.taken_for([index]) or ("", 0)
        yield {
            "name": first.names[index],
            "address": pages.photo(pixels),
            "taken_for": (answer, f", by {number} of {len(comparison.runs)}"),
            "is": first.class_names[first.label[index]],
        }


def _never_right(comparison: Comparison) -> Iterator[tuple[Cell, ...]]:
    """Returns the photos that no run gets right, their true class, and what each run predicts."""
    first = comparison.predictions[0]
    for index in comparison.never_right:
        answers = (
            (found.taken_for(index), f", {found.probabilities[index].max():.0%}")
            for found in comparison.predictions
        )
        yield first.names[index], first.class_names[first.label[index]], *answers

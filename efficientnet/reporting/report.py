"""The page `report/index.html` of a finished run."""

import datetime
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

import input_pipeline
from efficientnet.metrics import METRICS, Metric
from efficientnet.paths import write_whole
from efficientnet.reporting import (
    class_counts,
    curves,
    pages,
    plots,
    range_tests,
    scores,
    tables,
    thumbnails,
)
from efficientnet.reporting.fonts import can_draw
from efficientnet.reporting.predictions import Predictions
from efficientnet.reporting.runs import Run
from efficientnet.reporting.tables import duration, interval, percent, result_headings, results

PAGE = "report/index.html"
SHOWN_PHOTOS = 24
SHOWN_PAIRS = 10
SHOWN_CLASSES = 10
AVERAGED = ("precision", "recall", "f1")
AVERAGES = (("over classes", "macro"), ("over classes, weighted by their photos", "weighted"))


def write_report(run: Run, splits: Mapping[str, input_pipeline.Split]) -> None:
    """Writes the self-contained page.

    Args:
      run: the finished run, whose predictions are in its workdir.
      splits: its photos by split; some of those in 'test' are shown.
    """
    *before, last = (run.predictions(stage.name) for stage in run.stages)
    calibration = scores.calibration(last)
    classes = len(last.class_names)
    content = pages.render(
        "report.html",
        title=run.name,
        config=run.config,
        summary=run.summary,
        result=run.result,
        caution=run.caution,
        date=datetime.date.today(),
        figures=list(_figures(run)),
        stage_header=_stage_header(),
        stage_rows=list(_stage_rows(run)),
        curves=[
            (pages.drawing(curves.of_run(run.history, run.stages, panels)), title)
            for title, panels in curves.pictures(run.summary.classes, run.history).items()
        ],
        range_tests=[
            (pages.drawing(range_tests.draw(test, stage.name)), f"Range test of {stage.name}")
            for stage in run.stages
            if (test := stage.range_test)
        ],
        worst=list(_worst_photos(run, last, splits["test"])),
        mistakes=int((last.predicted != last.label).sum()),
        **by_class(last),
        counts=class_counts.shown(
            {
                name: np.bincount(split.labels, minlength=classes).tolist()
                for name, split in splits.items()
            },
            last.class_names,
        ),
        calibration=pages.drawing(plots.reliability(calibration)),
        bins=scores.CALIBRATION_BINS,
        earlier=[
            (stage.name, _confusion_matrix(found))
            for stage, found in zip(run.stages, before, strict=False)
        ],
        origin=list(_origin(run)),
        recipe=json.dumps(run.config.to_json(), indent=2),
    )
    path = run.folder / PAGE
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)


def _origin(run: Run) -> Iterator[tuple[str, str]]:
    """Returns what the results come from: (name, value)."""
    known, processes = run.summary.provenance, run.summary.processes
    on = f"{run.summary.devices}, {processes} process{'es' if processes > 1 else ''}"
    if known is None:
        yield "Run", "of an earlier version, which did not record its code and command"
        yield "Devices", on
        return
    latest, starts = known.latest, known.starts
    yield "Run", known.run_id
    yield "Code", latest.code
    yield "Command", known.commands[-1]
    yield "Started", f"{starts[0].date} on {starts[0].host}"
    if len(starts) > 1:
        times = "once" if len(starts) == 2 else f"{len(starts) - 1} times"
        yield "Resumed", f"{times}, last {starts[-1].date} on {starts[-1].host}"
    yield "Devices", on + (f", {latest.driver}" if latest.driver else "")
    yield "Platform", f"Python {latest.python} on {latest.platform}"
    if known.weights:
        yield "Weights", str(known.weights)
    yield "Data", f"{known.data_digest}, a digest of {known.data_covers}"


def _confusion_matrix(found: Predictions) -> str:
    return pages.drawing(plots.confusion_matrix(scores.confusion(found), found.class_names))


def _figures(run: Run) -> Iterator[tuple[str, str, str]]:
    """Returns the figures at the top: (name, value, note)."""
    test = run.result.metrics.test
    for name, metric in METRICS.items():
        if metric.highlighted and name in test and run.summary.classes >= metric.least_classes:
            yield metric.title, metric.short(test[name]), _note(metric, test)
    rate = f"{run.result.images_per_second:,.0f} images/s at the end"
    yield "Trained in", duration(run.seconds), rate


def _note(metric: Metric, test: Mapping[str, float]) -> str:
    return f"95 %: {interval(metric, test)} %" if metric.bounds else metric.note


def _stage_header() -> tuple[str, ...]:
    about, costs = ("Stage", "What trains", "Best epoch"), ("Trainable parameters", "Seconds")
    return (*about, *result_headings(), *costs, "Images/s")


def _stage_rows(run: Run) -> Iterator[tuple[str, ...]]:
    for config, stage in zip(run.config.stages, run.stages, strict=True):
        yield (
            stage.name,
            config.train,
            f"{stage.best_epoch} of {stage.epochs:g}",
            *results(stage.metrics.test),
            f"{stage.parameters.trainable:,}",
            f"{stage.seconds:,.0f}",
            f"{stage.images_per_second:,.1f}",
        )


def _worst_photos(
    run: Run, predictions: Predictions, test: input_pipeline.Split
) -> Iterator[dict[str, Any]]:
    """Returns the worst mistakes among the test photos, with predicted and true classes."""
    worst = scores.worst_photos(predictions, SHOWN_PHOTOS)
    taken = [(predictions.taken_for(i), predictions.probabilities[i].max()) for i in worst]
    return thumbnails.with_captions(test, predictions, worst, taken, run.config)


def by_class(predictions: Predictions) -> dict[str, Any]:
    """Returns the values of the macros `confusion` and `classes`.

    These are the picture of the `confusion` and the rows of the most confused `pairs`, of all
    `classes`, of the `averages` over these, and of the `hardest` if these are not all.
    """
    classes, names = scores.per_class(predictions), predictions.class_names
    counts = scores.confusion(predictions)

    def row(label: int) -> tuple[tables.Cell, ...]:
        wrong = counts[label].copy()
        wrong[label] = 0
        mostly = (names[wrong.argmax()], f" ({wrong.max()})") if wrong.any() else ""
        return (
            names[label] if can_draw(names[label]) else (names[label], f" ({label})"),
            str(classes.photos[label]),
            *(percent(values[label]) for values in (classes.precision, classes.recall, classes.f1)),
            mostly,
        )

    hardest = scores.hardest_classes(classes, SHOWN_CLASSES) if len(names) > SHOWN_CLASSES else ()
    return {
        "confusion": _confusion_matrix(predictions),
        "pairs": [
            (names[pair.true], names[pair.predicted], pair.photos, percent(pair.share))
            for pair in scores.confused_pairs(counts, SHOWN_PAIRS)
        ],
        "averages": [
            (title, *(percent(scores.OF_SPLIT[f"{name}_{kind}"](predictions)) for name in AVERAGED))
            for title, kind in AVERAGES
        ],
        "classes": list(map(row, range(len(names)))),
        "hardest": list(map(row, hardest)),
    }

"""The page `report/index.html` of a finished run."""

import datetime
import json
from collections.abc import Mapping

import input_pipeline
from efficientnet.metrics import METRICS, Metric
from efficientnet.paths import write_whole
from efficientnet.reporting import markup, plots, scores, thumbnails
from efficientnet.reporting.fonts import drawable
from efficientnet.reporting.markup import Element, tag
from efficientnet.reporting.predictions import Predictions
from efficientnet.reporting.runs import Run
from efficientnet.reporting.tables import duration, interval, percent, result_headings, results

PAGE = "report/index.html"
SHOWN_PHOTOS = 24
SHOWN_PAIRS = 10
SHOWN_CLASSES = 10


def write_report(run: Run, test: input_pipeline.Split) -> None:
    """Writes the page, which needs no other file.

    Args:
      run: what was done; its predictions are read from its workdir.
      test: the test photos, some of which are shown.
    """
    predictions = {stage.name: run.predictions(stage.name) for stage in run.stages}
    last = predictions[run.result.name]
    content = markup.page(
        run.name,
        _header(run),
        _stages(run),
        _curves(run),
        _confusion(last),
        _worst_photos(run, last, test),
        _classes(last),
        _calibration(last),
        *_earlier(predictions),
        _recipe(run),
    )
    path = run.folder / PAGE
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)


def _header(run: Run) -> Element:
    config, summary, stage = run.config, run.summary, run.result
    test, sizes = stage.metrics.test, summary.photos
    start = f"from the weights {config.weights}" if config.weights else "from random weights"
    facts = (
        f"EfficientNet {config.variant} on {config.data.source}, {start}. "
        f"{summary.classes:,} classes; {sizes.train:,} photos to train, "
        f"{sizes.validation:,} to validate, {sizes.test:,} to test. "
        f"{datetime.date.today():%Y-%m-%d}, on {summary.devices}."
    )
    figures = [
        (metric.title, metric.short(test[metric.name]), _note(metric, test))
        for metric in METRICS.values()
        if metric.highlighted and metric.name in test and summary.classes >= metric.least_classes
    ]
    rate = f"{stage.images_per_second:,.0f} images/s at the end"
    figures.append(("Trained in", duration(run.seconds), rate))
    return tag(
        "header",
        tag("h1", run.name),
        tag("p", facts, class_="soft"),
        markup.tiles(figures),
        tag("p", _selection(run), class_="soft"),
    )


def _note(metric: Metric, test: Mapping[str, float]) -> str:
    return f"95 %: {interval(metric, test)} %" if metric.bounds else metric.note


def _selection(run: Run) -> str:
    chosen_on = run.result.selected_on
    if chosen_on == "test":
        return (
            "The best weights of each stage were picked on the test photos themselves, so these "
            "results say little about new photos."
        )
    source = chosen_on if chosen_on.startswith("photos") else f"the split {chosen_on}"
    return (
        f"Results are of the test photos, each counted once, after the last stage, "
        f"{run.result.name}. The best weights of each stage were picked on {source}. "
        "The interval is what chance in the choice of test photos allows for (bootstrap)."
    )


def _stages(run: Run) -> Element:
    rows = []
    for config, stage in zip(run.config.stages, run.stages, strict=True):
        rows.append(
            (
                stage.name,
                config.train,
                f"{stage.best_epoch} of {stage.epochs:g}",
                *results(stage.metrics.test),
                f"{stage.parameters.trainable:,}",
                f"{stage.seconds:,.0f}",
                f"{stage.images_per_second:,.1f}",
            )
        )
    header = (
        "Stage",
        "What trains",
        "Best epoch",
        *result_headings(),
        "Trainable parameters",
        "Seconds",
        "Images/s",
    )
    return markup.section("Stages", markup.table(header, rows, texts=(0, 1)))


def _curves(run: Run) -> Element:
    drawn = [
        markup.drawing(
            plots.curves(run.history, run.stages, metric), f"{metric.title} over the epochs"
        )
        for metric in plots.plotted()
    ]
    return markup.section("Curves", markup.columns(*drawn))


def _confusion(predictions: Predictions) -> Element:
    counts, names = scores.confusion(predictions), predictions.class_names
    matrix = markup.drawing(plots.confusion_matrix(counts, names), "Confusion matrix")
    pairs = scores.confused_pairs(counts, SHOWN_PAIRS)
    rows = [
        (names[pair.true], names[pair.predicted], str(pair.photos), percent(pair.share))
        for pair in pairs
    ]
    header = ("Class", "Taken for", "Photos", "Of the class")
    listed = (
        tag("div", tag("h3", "Most confused"), markup.table(header, rows, texts=(0, 1)))
        if pairs
        else tag("p", "No two classes were confused.")
    )
    return markup.section("Confusion", markup.columns(matrix, listed))


def _worst_photos(run: Run, predictions: Predictions, test: input_pipeline.Split) -> Element:
    worst = scores.worst_photos(predictions, SHOWN_PHOTOS)
    title = "Worst photos"
    if not len(worst):
        return markup.section(title, tag("p", "Every test photo was recognized."))
    cards = []
    for index, pixels in zip(worst, thumbnails.read(test, worst, run.config), strict=True):
        name, true = predictions.names[index], predictions.of_truth[index]
        sure = predictions.probabilities[index].max()
        caption = tag(
            "figcaption",
            tag("b", f"{predictions.taken_for(index)}, {sure:.0%}"),
            f"is {predictions.class_names[predictions.label[index]]}, {true:.1%}",
            tag("br"),
            name,
        )
        cards.append(tag("figure", markup.photo(pixels, name), caption))
    wrong = int((predictions.predicted != predictions.label).sum())
    return markup.section(
        title,
        tag(
            "p",
            f"The {len(worst)} of {wrong:,} mistakes in which the true class was given the least "
            "probability: what it was taken for, what it is, and the probability of each.",
            class_="soft",
        ),
        tag("div", *cards, class_="photos"),
    )


def _classes(predictions: Predictions) -> Element:
    classes, counts = scores.per_class(predictions), scores.confusion(predictions)
    names = predictions.class_names
    drawn = drawable(names)

    def row(label: int) -> tuple[str, ...]:
        wrong = counts[label].copy()
        wrong[label] = 0
        mostly = f"{names[wrong.argmax()]} ({wrong.max()})" if wrong.any() else ""
        return (
            names[label] if drawn[label] == names[label] else f"{names[label]} ({drawn[label]})",
            str(classes.photos[label]),
            *(percent(values[label]) for values in (classes.precision, classes.recall, classes.f1)),
            mostly,
        )

    header = ("Class", "Photos", "Precision", "Recall", "F1", "Most often taken for")
    hardest = scores.hardest_classes(classes, SHOWN_CLASSES)
    parts = []
    if len(names) > SHOWN_CLASSES:
        parts += [
            tag("h3", "Hardest classes"),
            markup.table(header, map(row, hardest), texts=(0, 5)),
            tag("h3", "All classes"),
        ]
    everything = map(row, range(len(names)))
    return markup.section("Classes", *parts, markup.table(header, everything, texts=(0, 5)))


def _calibration(predictions: Predictions) -> Element:
    found = scores.calibration(predictions)
    explained = tag(
        "p",
        "Is it right as often as it is sure? Bars below the diagonal mean that it is too sure of "
        "itself, bars above that it could be surer. The calibration error is the mean distance "
        f"from the diagonal over all photos, in {scores.CALIBRATION_BINS} bins.",
        class_="soft",
    )
    drawn = markup.drawing(plots.reliability(found), "Accuracy over confidence")
    return markup.section("Calibration", markup.columns(drawn, explained))


def _earlier(predictions: dict[str, Predictions]) -> list[Element]:
    """The confusion matrices of all stages but the last."""
    folded = []
    for name, found in list(predictions.items())[:-1]:
        figure = plots.confusion_matrix(scores.confusion(found), found.class_names)
        matrix = markup.drawing(figure, f"Confusion matrix after {name}")
        folded.append(tag("details", tag("summary", f"Confusion after stage {name}"), matrix))
    return [markup.section("Earlier stages", *folded)] if folded else []


def _recipe(run: Run) -> Element:
    versions = ", ".join(f"{name} {v}" for name, v in run.summary.versions.items())
    processes = run.summary.processes
    where = f"{run.summary.devices}, {processes} process{'es' if processes > 1 else ''}"
    recipe = tag("pre", json.dumps(run.config.to_json(), indent=2))
    return markup.section(
        "What was run",
        tag("p", f"On {where}; {versions}.", class_="soft"),
        tag("details", tag("summary", "The recipe, every field"), recipe),
    )

"""Trains a recipe once for each fold of its photos, and tells how well it does, and which labels
look wrong.

    python scripts/cross_validate.py --config=configs/cars_b0.py --workdir=runs/cars_folds \
        --folds=5 --config.data.directory=DIRECTORY

Fold after fold is held out of training and predicted by the network that never saw it; the test
photos stay what they are. Each run has a folder of its own in the workdir; the same command again
resumes. Any field of the recipe can be overridden, as for train.py.
"""

from efficientnet.runtime import preemption
from efficientnet.runtime.huge_pages import restart_with_huge_pages

if __name__ == "__main__":  # as in train.py
    preemption.hold_signals()
    restart_with_huge_pages()
    preemption.Stop().__enter__()


import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from etils import epath

import input_pipeline
from efficientnet import records
from efficientnet.commands import command_line, recipes
from efficientnet.config import RunConfig
from efficientnet.errors import UserError
from efficientnet.inference.evaluate import run_on
from efficientnet.inference.loading import load_run
from efficientnet.metrics import METRICS
from efficientnet.paths import absolute
from efficientnet.records import CrossValidation, FoldMean, StageMetrics
from efficientnet.reporting import cross_validation, predictions, scores, suspected_labels
from efficientnet.reporting.predictions import Predictions
from efficientnet.reporting.report import PAGE
from efficientnet.reporting.runs import SUMMARY
from efficientnet.reporting.tables import aligned
from efficientnet.runtime import compilation_cache, failures
from efficientnet.training import setup
from efficientnet.training.run import run
from efficientnet.training.start import Opened
from efficientnet.training.workdir import check_config, finished_summary

OUT_OF_FOLD = "out_of_fold.npz"
LABELS = "labels.csv"
SUSPECTED = "suspected_labels.html"  # beside the report
SPLITS = {"validation": "on the fold that was not trained on", "test": "on the test photos"}


def main(arguments: Sequence[str]) -> None:
    """Parses the arguments, trains and predicts every fold, writes the results."""
    parser = command_line.parser(__doc__, allow_abbrev=False)
    parser.add_argument("--config", required=True, help="the recipe, as for train.py")
    parser.add_argument("--workdir", required=True, help="of all folds")
    parser.add_argument("--folds", type=int, default=5, metavar="N", help="by default 5")
    args, overrides = parser.parse_known_args(arguments)
    if args.folds < 2:
        raise UserError(f"--folds={args.folds}: expected at least 2")
    command_line.show_log("efficientnet", "input_pipeline")
    workdir = absolute(args.workdir)
    recipe = recipes.read(args.config, overrides)
    folds = {
        workdir / f"fold_{number}": dataclasses.replace(
            recipe, data=dataclasses.replace(recipe.data, folds=args.folds, fold=number)
        )
        for number in range(args.folds)
    }
    for folder, config in folds.items():
        check_config(folder, config)
    failures.silence_failed_saves()
    compilation_cache.enable()

    source = setup.open_source(recipe.data)
    done = []
    for number, (folder, config) in enumerate(folds.items(), start=1):
        print(f"{folder.name}, {number} of {args.folds}: {folder}", flush=True)
        done.append(train_and_predict(config, folder, source))
    result = write_results(workdir, recipe, done)
    for split in SPLITS:
        print(f"\n{SPLITS[split]}:")
        table = list(cross_validation.rows(result, split))
        print(aligned(cross_validation.header(), table))
    print(f"\nresults: {workdir / PAGE}")
    print(f"labels to look at: {workdir / LABELS}")
    if args.json:
        command_line.print_json(records.to_json(result))


class Fold(NamedTuple):
    """What has come of a fold: the results, and the photos held out with their predictions."""

    metrics: StageMetrics
    photos: input_pipeline.Split
    found: Predictions


def train_and_predict(config: RunConfig, folder: epath.Path, source: input_pipeline.Source) -> Fold:
    """Trains and predicts a fold of a data set, unless it is done.

    Raises:
      UserError: the data have changed since the fold was trained, or see `run`.
      Stopped: a signal arrived, and the state is saved.
    """
    path = folder / OUT_OF_FOLD
    summary = finished_summary(folder, config)
    if summary is None:
        path.unlink(missing_ok=True)
        summary = run(config, str(folder), Opened(source))
    data, changes = setup.data_of_run(config, folder, source)
    if changes:
        raise UserError(
            f"the data have changed since {folder} was trained ({'; '.join(changes)}): choose "
            "another --workdir, or use the old data"
        )
    if path.exists():
        found = predictions.load(path)
    else:
        photos = data.validation
        _, logits = run_on(
            load_run(str(folder)), photos, config.batch_size, False, config.data.broken_limit
        )
        found = predictions.from_logits(logits, photos.labels, photos.names, data.class_names)
        predictions.save(path, found)
    test = summary.stages[-1].metrics.test
    metrics = StageMetrics(test=test, validation=scores.summary(found))
    return Fold(metrics, data.validation, found)


def write_results(workdir: epath.Path, recipe: RunConfig, done: Sequence[Fold]) -> CrossValidation:
    """Writes predictions, suspected labels, report and summary of all folds."""
    everything = Predictions(
        np.concatenate([fold.found.probabilities for fold in done]),
        np.concatenate([fold.found.label for fold in done]),
        tuple(name for fold in done for name in fold.found.names),
        done[0].found.class_names,
    )
    predictions.save(workdir / OUT_OF_FOLD, everything)
    suspects = suspected_labels.suspect(everything)
    suspected_labels.write_table(workdir / LABELS, everything, suspects)
    page = workdir / PAGE
    page.parent.mkdir(parents=True, exist_ok=True)
    suspected_labels.write_page(
        page.with_name(SUSPECTED),
        workdir.name,
        workdir / LABELS,
        everything,
        suspects,
        input_pipeline.joined([fold.photos for fold in done]),
        recipe,
    )
    result = CrossValidation(
        folds=tuple(fold.metrics for fold in done),
        **{split: _over_folds([getattr(fold.metrics, split) for fold in done]) for split in SPLITS},
        photos=len(everything.label),
        suspected_labels=suspects.number,
    )
    cross_validation.write_page(
        page, workdir.name, result, everything, config=recipe, suspected=SUSPECTED
    )
    records.write(workdir / SUMMARY, result)
    return result


def _over_folds(metrics: Sequence[Mapping[str, float]]) -> dict[str, FoldMean]:
    return {
        name: scores.fold_mean(METRICS[name], [fold[name] for fold in metrics])
        for name in metrics[0]
    }


if __name__ == "__main__":
    try:
        sys.exit(command_line.run(main))
    except preemption.Stopped as stopped:
        preemption.end_at_once(preemption.STOPPED, str(stopped))

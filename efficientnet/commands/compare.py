"""Compares finished runs: prints a table, and writes a page with curves and mistakes.

    python scripts/compare.py runs/cars_all runs/cars_blocks67 --output=runs/comparison
    python scripts/compare.py --by 'config.stages[0].weight_decay' runs/*/ --output=runs/comparison

With --by, it compares the results of any number of runs by the values of a config field instead: a
table, and a picture with a point for each run and the mean at each value. Of two fields it also
draws a heat map. Runs that are not finished or have no such field are left out, and named.
"""

import sys
from collections.abc import Sequence

from etils import epath

import input_pipeline
from efficientnet.commands import command_line
from efficientnet.errors import UserError
from efficientnet.paths import check_folder, printable, user_path
from efficientnet.reporting import by_field, comparison, grids, runs

SHOWN = 10
METRIC = "validation.top1"


def main(arguments: Sequence[str]) -> None:
    """Parses the arguments, compares, writes the page."""
    parser = command_line.parser(__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="the workdir of a finished run")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for the page")
    parser.add_argument(
        "--by",
        action="append",
        metavar="FIELD",
        help="a config field, such as config.stages[0].weight_decay; may be given again",
    )
    parser.add_argument(
        "--metric", choices=grids.choices(), help=f"of the last stage, for --by; default {METRIC}"
    )
    args = parser.parse_args(arguments)
    if args.metric and not args.by:
        raise UserError(f"--metric={args.metric} goes with --by: name a config field to compare by")

    folder = user_path(args.output)
    check_folder(folder)
    if args.by:
        compare_by(folder, by_field.read(args.runs, args.by, args.metric or METRIC), args.json)
    else:
        compare(folder, args.runs, args.json)


def compare(folder: epath.Path, paths: Sequence[str], as_json: bool) -> None:
    """Compares runs of one test set photo by photo."""
    compared = comparison.Comparison([runs.load(path) for path in paths])
    photos, reason = None, ""
    try:
        photos = test_photos(compared.runs[0], compared.predictions[0].names)
    except (UserError, OSError) as error:
        reason = str(error)
    comparison.write_page(folder, compared, photos)
    print(compared.table())
    hardest = [compared.predictions[0].names[index] for index in compared.never_right]
    more = f" and {len(hardest) - SHOWN} more" if len(hardest) > SHOWN else ""
    print(f"no run gets right: {', '.join(map(printable, hardest[:SHOWN])) or 'no photo'}{more}")
    if reason:
        print(f"the page shows no photos: {printable(reason)}")
    print(f"the whole comparison: {folder / comparison.PAGE}")
    if as_json:
        results = [
            {"run": name, "stage": run.result.name, **run.result.metrics.test}
            for name, run in zip(compared.names, compared.runs, strict=True)
        ]
        command_line.print_json({"runs": results, "no_run_got_right": hardest})


def test_photos(run: runs.Run, names: Sequence[str]) -> input_pipeline.Split:
    """Opens the photos of these names that a run was tested on, where its config says they are.

    Raises:
      UserError or OSError: they are not there.
    """
    from efficientnet.training import setup  # TensorFlow takes seconds to import

    split = setup.open_source(run.config.data).splits["test"]
    lacking = set(names) - set(split.names)
    if lacking:
        raise UserError(f"the data of {run.folder} have no test photo {min(lacking)} any more")
    return split


def compare_by(folder: epath.Path, results: by_field.Results, as_json: bool) -> None:
    """Compares runs by the values of config fields."""
    by_field.write_page(folder, results)
    print(by_field.text(results))
    for reason in results.left_out:
        print(f"left out: {printable(reason)}")
    print(f"the whole comparison: {folder / by_field.PAGE}")
    if as_json:
        points = [
            {
                "run": point.run,
                "pretrained": point.start == by_field.PRETRAINED,
                **dict(zip(results.fields, point.values, strict=True)),
                results.metric: point.result,
            }
            for point in results.points
        ]
        command_line.print_json({"runs": points, "left_out": results.left_out})


if __name__ == "__main__":
    sys.exit(command_line.run(main))

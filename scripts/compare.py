"""Compares finished runs: prints a table, and writes a page with curves and mistakes.

python scripts/compare.py runs/cars_all runs/cars_blocks67 --output=runs/comparison
"""

import sys
from collections.abc import Sequence

from efficientnet.paths import check_folder, printable, user_path
from efficientnet.reporting import comparison, runs
from scripts import command_line

SHOWN = 10


def main(arguments: Sequence[str]) -> None:
    """Parses the arguments, compares, writes the page."""
    parser = command_line.parser(__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="the workdir of a finished run")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for index.html")
    args = parser.parse_args(arguments)

    folder = user_path(args.output)
    check_folder(folder)
    compared = comparison.Comparison([runs.load(path) for path in args.runs])
    comparison.write_page(folder, compared)
    print(compared.table())
    hardest = [compared.predictions[0].names[index] for index in compared.never_right]
    more = f" and {len(hardest) - SHOWN} more" if len(hardest) > SHOWN else ""
    print(f"no run gets right: {', '.join(map(printable, hardest[:SHOWN])) or 'no photo'}{more}")
    print(f"the whole comparison: {folder / comparison.PAGE}")
    if args.json:
        results = [
            {"run": name, "stage": run.result.name, **run.result.metrics.test}
            for name, run in zip(compared.names, compared.runs, strict=True)
        ]
        command_line.print_json({"runs": results, "no_run_got_right": hardest})


if __name__ == "__main__":
    sys.exit(command_line.run(main))

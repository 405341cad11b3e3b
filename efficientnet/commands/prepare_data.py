"""Writes a data set of any layout to records, or checks it for problems and shows them.

python scripts/prepare_data.py stanford_cars --directory=/data/cars --output=/data/cars_records
python scripts/prepare_data.py folders --directory=/data/flowers --check --report=audit
python scripts/prepare_data.py elpv --statistics

Run the same command again to resume it; photos that have changed are written again. Train on the
result with
--config.data.source=records --config.data.directory=/data/cars_records.
"""

import argparse
import dataclasses
import sys
from collections import Counter
from collections.abc import Sequence

import efficientnet
import input_pipeline
from efficientnet.commands import command_line
from efficientnet.errors import UserError
from efficientnet.paths import check_folder, printable, user_path
from efficientnet.reporting.audit import SHOWN_PAIRS, write_audit
from efficientnet.runtime.progress_bar import progress_bar
from input_pipeline import record_writer
from input_pipeline.audit.duplicates import most_alike
from input_pipeline.audit.problems import Problem, audit


def main(arguments: Sequence[str]) -> None:
    """Parses the arguments and runs what they ask for."""
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "source", help=f"one of {', '.join(input_pipeline.SOURCES)}, tfds:NAME, or hf:OWNER/NAME"
    )
    parser.add_argument("--directory", help="where the files are")
    parser.add_argument(
        "--seed", type=int, default=0, help="for the test split, if none is published"
    )
    parser.add_argument(
        "--group", default="", metavar="PATTERN", help="of groups in names, see config.data.group"
    )
    parser.add_argument("--output", type=user_path, help="where to write the records")
    parser.add_argument(
        "--resize", type=int, metavar="PIXELS", help="shrink photos to this shorter side"
    )
    parser.add_argument(
        "--broken-limit", type=int, default=0, help="how many unreadable photos may be left out"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="list all problems, and exit with 1 if some must be mended",
    )
    parser.add_argument(
        "--report",
        type=command_line.local_path,
        metavar="DIR",
        help="where to write the audit's page",
    )
    parser.add_argument(
        "--weights",
        metavar="W",
        help="a network that shows on the page what is alike: a name such as lite_wheel, or a path",
    )
    parser.add_argument(
        "--statistics",
        action="store_true",
        help="mean and standard deviation of the training photos",
    )
    args = parser.parse_args(arguments)
    if not (args.output or args.check or args.report or args.statistics):
        raise UserError("nothing to do: give --output, --check, --report or --statistics")
    if args.resize is not None and args.resize < 1:
        raise UserError(f"--resize={args.resize} should be a positive number of pixels")
    if args.report:
        check_folder(args.report)
    elif args.weights:
        raise UserError("--weights goes with --report=DIR: the page shows what the network finds")

    command_line.show_log("input_pipeline")
    source = input_pipeline.load_source(args.source, args.directory, args.seed, group=args.group)
    result: dict[str, object] = {
        "source": source.name,
        "classes": len(source.class_names),
        "splits": {split: len(examples) for split, examples in source.splits.items()},
    }
    print(f"{source.name}: {result['classes']} classes, {result['splits']}", flush=True)
    problems: list[Problem] = []
    if args.check or args.report:
        problems = look_for_problems(source, args, result)
    if args.statistics:
        mean, std = input_pipeline.cached_statistics(
            source.splits["train"],
            resolution=args.resize or 224,
            broken_limit=args.broken_limit,
        )
        print(f"mean {_numbers(mean)}, std {_numbers(std)} on the scale 0..1")
        result["mean"], result["std"] = mean, std
    if args.output:
        result["left_out"] = record_writer.write(
            source,
            args.output,
            shorter_side=args.resize,
            broken_limit=args.broken_limit,
            progress=lambda split, done, total: print(f"{split}: {done} of {total}", flush=True),
        )
        written = input_pipeline.load_source("records", str(args.output))
        print(f"wrote {sum(map(len, written.splits.values()))} photos to {args.output}")
    if args.json:
        command_line.print_json(result)
    mend = Counter(problem.kind for problem in problems if problem.must_mend)
    if args.check and mend:
        raise UserError(
            f"{mend.total()} of {len(problems)} problems must be mended before results can be "
            f"trusted: {', '.join(f'{count} x {kind}' for kind, count in mend.items())}"
        )


def look_for_problems(
    source: input_pipeline.Source, args: argparse.Namespace, result: dict[str, object]
) -> list[Problem]:
    """Audits a data set, and lists the problems or shows them on a page, as the arguments say."""
    network = efficientnet.load(args.weights) if args.weights else None
    found = audit(source, progress_bar)
    problems = list(found.problems())
    result["problems"] = len(problems)
    if args.check:
        for problem in problems:
            print(printable(f"{problem.kind}: {problem.name}: {problem.detail}"))
        result["found"] = list(map(dataclasses.asdict, problems))
    print(f"{len(problems)} problems", flush=True)
    if network:
        # JAX takes seconds to import.
        from efficientnet.inference.predict import features_of

        features = features_of(network, input_pipeline.joined(list(source.splits.values())))
        similar = most_alike(found.photos, features, found.pairs, SHOWN_PAIRS)
        found = dataclasses.replace(found, similar=similar)
    if args.report:
        result["report"] = str(write_audit(found, args.report))
        print(f"wrote {result['report']}")
    return problems


def _numbers(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:.3f}" for value in values) + ")"


if __name__ == "__main__":
    sys.exit(command_line.run(main))

"""Writes a data set of any layout to records, or checks it for problems.

python scripts/prepare_data.py stanford_cars --directory=/data/cars --output=/data/cars_records
python scripts/prepare_data.py folders --directory=/data/flowers --check
python scripts/prepare_data.py elpv --statistics

Run the same command again to resume it; photos that have changed are written again. Train on the
result with
--config.data.source=records --config.data.directory=/data/cars_records.
"""

import argparse
import sys
from collections.abc import Sequence

from etils import epath

import input_pipeline
from efficientnet.errors import UserError
from efficientnet.paths import cache_directory, user_path
from input_pipeline import record_writer
from input_pipeline.audit.problems import find_problems
from scripts import command_line


def main(arguments: Sequence[str]) -> None:
    """Parses the arguments and runs what they ask for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", help=f"one of {', '.join(input_pipeline.SOURCES)}, or tfds:NAME")
    parser.add_argument("--directory", help="where the files are")
    parser.add_argument(
        "--seed", type=int, default=0, help="for the test split, if none is published"
    )
    parser.add_argument("--output", type=user_path, help="where to write the records")
    parser.add_argument(
        "--resize", type=int, metavar="PIXELS", help="shrink photos to this shorter side"
    )
    parser.add_argument(
        "--broken-limit", type=int, default=0, help="how many unreadable photos may be left out"
    )
    parser.add_argument("--check", action="store_true", help="list all problems")
    parser.add_argument(
        "--statistics",
        action="store_true",
        help="mean and standard deviation of the training photos",
    )
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    args = parser.parse_args(arguments)
    if not (args.output or args.check or args.statistics):
        raise UserError("nothing to do: give --output, --check or --statistics")
    if args.resize is not None and args.resize < 1:
        raise UserError(f"--resize={args.resize} should be a positive number of pixels")

    source = input_pipeline.load_source(args.source, args.directory, args.seed)
    result: dict[str, object] = {
        "source": source.name,
        "classes": len(source.class_names),
        "splits": {split: len(examples) for split, examples in source.splits.items()},
    }
    print(f"{source.name}: {result['classes']} classes, {result['splits']}", flush=True)
    if args.check:
        count = 0
        for problem in find_problems(source):
            count += 1
            print(f"{problem.kind}: {problem.name}: {problem.detail}", flush=True)
        print(f"{count} problems")
        result["problems"] = count
    if args.statistics:
        mean, std = input_pipeline.cached_statistics(
            source.splits["train"],
            epath.Path(cache_directory() / "statistics"),
            resolution=args.resize or 224,
            broken_limit=args.broken_limit,
        )
        print(f"mean {_numbers(mean)}, std {_numbers(std)} on the scale 0..1")
        result["mean"], result["std"] = mean, std
    if args.output:
        left_out = record_writer.write(
            source,
            args.output,
            shorter_side=args.resize,
            broken_limit=args.broken_limit,
            progress=lambda split, done, total: print(f"{split}: {done} of {total}", flush=True),
        )
        written = input_pipeline.load_source("records", str(args.output))
        print(f"wrote {sum(map(len, written.splits.values()))} photos to {args.output}")
        result["left_out"] = left_out
    if args.json:
        command_line.print_json(result)


def _numbers(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:.3f}" for value in values) + ")"


if __name__ == "__main__":
    sys.exit(command_line.run(main))

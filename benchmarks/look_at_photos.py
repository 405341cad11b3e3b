"""Measures how fast photos are looked at before the first step, and again when they are known.

    python benchmarks/look_at_photos.py stanford_cars --directory=/data/cars

Prints a line of JSON with the photos and megabytes, photos per second of each look (the median of
--rounds) and the number of broken photos. Files that were read shortly before come from memory:
on a disk, the first look takes as long as the disk does to find each file.
"""

import argparse
import itertools
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence

from efficientnet.commands import command_line
from input_pipeline.readable import find_broken
from input_pipeline.sources import load_source
from input_pipeline.sources.split import Split


def main(arguments: Sequence[str]) -> None:
    """Parses the arguments, measures, prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", help="as for scripts/prepare_data.py")
    parser.add_argument("--directory", help="where the files are")
    parser.add_argument("--rounds", type=int, default=7, help="default 7")
    args = parser.parse_args(arguments)
    splits = load_source(args.source, args.directory).splits
    rounds = [measure(splits) for _ in range(args.rounds)]
    names = ("first", "again", "broken")
    found = {
        name: statistics.median(values)
        for name, values in zip(names, zip(*rounds, strict=True), strict=True)
    }
    photos = sum(map(len, splits.values()))
    ends = [split.ends(index) for split in splits.values() for index in range(len(split))]
    size = sum(of.size for of in ends if of) / 1e6
    command_line.print_json({"photos": photos, "megabytes": size, **found})


def measure(splits: Mapping[str, Split]) -> tuple[float, float, int]:
    """Returns photos per second of a first and a second look, and the number of broken photos."""
    photos = sum(map(len, splits.values()))
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        memory = pathlib.Path(folder) / "memory.bin"
        times = [time.perf_counter()]
        for _ in range(2):
            broken = find_broken(splits, memory)
            times.append(time.perf_counter())
    first, again = (photos / (end - begin) for begin, end in itertools.pairwise(times))
    return first, again, len(broken)


if __name__ == "__main__":
    sys.exit(command_line.run(main))

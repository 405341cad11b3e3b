"""Makes some labels wrong, and counts how many of them cross-validation suspects first.

    python benchmarks/suspected_labels.py --config=configs/cars_lite0.py:head \
        --workdir=runs/flipped --config.data.directory=DIRECTORY

A share of the photos that are not for testing get the label of another class, drawn evenly. Other
arguments are those of scripts/cross_validate.py.
"""

import argparse
import csv
import sys
from collections.abc import Sequence

import numpy as np

import input_pipeline
from efficientnet.commands import command_line, cross_validate, recipes
from efficientnet.errors import UserError

TABLE = "flipped.csv"


def main(arguments: Sequence[str]) -> None:
    """Parses the arguments, flips labels, runs the cross-validation, prints the recall."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--config", required=True, help="the recipe, as for train.py")
    parser.add_argument("--workdir", required=True, type=command_line.local_path)
    parser.add_argument("--folds", type=int, default=5, metavar="N", help="by default 5")
    parser.add_argument("--share", type=float, default=0.05, help="of the labels to make wrong")
    parser.add_argument("--first", type=float, default=0.1, help="share of the list to look at")
    parser.add_argument("--seed", type=int, default=0, help="of which labels are made wrong")
    args, overrides = parser.parse_known_args(arguments)
    if not 0 < args.share < 1 or not 0 < args.first < 1:
        raise UserError(f"--share={args.share} --first={args.first}: expected numbers below 1")

    data = recipes.read(args.config, overrides).data
    source = input_pipeline.load_source(data.source, data.directory or None)
    args.workdir.mkdir(parents=True, exist_ok=True)
    flipped = flip(source, args.share, args.seed)
    table = args.workdir / TABLE
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("name", "label"), *flipped.items()])

    words = [f"--config={args.config}", f"--workdir={args.workdir}", f"--folds={args.folds}"]
    cross_validate.main([*words, *overrides, f"--config.data.corrections={table}"])

    with (args.workdir / cross_validate.LABELS).open(encoding="utf-8-sig", newline="") as file:
        ranked = [row["name"] for row in csv.DictReader(file)]
    looked_at = ranked[: round(args.first * len(ranked))]
    found = len(flipped.keys() & set(looked_at))
    result = {"photos": len(ranked), "flipped": len(flipped), "seed": args.seed}
    result |= {"looked_at": len(looked_at), "found": found, "recall": found / len(flipped)}
    command_line.print_json(result)


def flip(source: input_pipeline.Source, share: float, seed: int) -> dict[str, str]:
    """Returns names of photos that are not for testing, each with the name of a wrong class."""
    splits = [split for name, split in source.splits.items() if name != "test"]
    labels = np.concatenate([split.labels for split in splits])
    names = [name for split in splits for name in split.names]
    rng = np.random.default_rng(seed)
    classes = len(source.class_names)
    chosen = rng.choice(len(names), round(share * len(names)), replace=False)
    wrong = (labels[chosen] + rng.integers(1, classes, len(chosen))) % classes
    return {
        names[index]: source.class_names[label] for index, label in zip(chosen, wrong, strict=True)
    }


if __name__ == "__main__":
    sys.exit(command_line.run(main))

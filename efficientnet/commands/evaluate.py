"""Evaluates a network on a split, with every photo counted once.

python scripts/evaluate.py --workdir=runs/mine
python scripts/evaluate.py --workdir=runs/mine --stage=head --split=validation --flip
python scripts/evaluate.py --weights=lite_wheel --data=tfds:imagenet2012 --directory=DIRECTORY
"""

import argparse
import sys
import time
from collections.abc import Sequence

import input_pipeline
from efficientnet import metrics
from efficientnet.commands import command_line, networks
from efficientnet.errors import UserError
from efficientnet.inference.evaluate import check_classes, data_of, evaluate
from efficientnet.inference.network import Network, TrainedNetwork
from efficientnet.paths import user_path
from efficientnet.reporting import predictions, runs, tables

SPLITS = ("test", "validation", "train")


def main(arguments: Sequence[str]) -> None:
    """Parses the arguments, evaluates, prints a table."""
    parser = command_line.parser(__doc__)
    networks.add_arguments(parser)
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--data", metavar="SOURCE", help="with --weights: the data source")
    parser.add_argument("--directory", help="where the files of the data are, if they have moved")
    parser.add_argument(
        "--flip", action="store_true", help="average over each photo and its mirror image"
    )
    parser.add_argument("--batch", type=int, default=32, metavar="N", help="images per batch")
    parser.add_argument(
        "--top", type=int, nargs="+", default=[1, 3, 5], metavar="K", help="which top-K to show"
    )
    parser.add_argument("--output", metavar="FILE", help="write the predictions to an .npz")
    args = parser.parse_args(arguments)
    command_line.show_log()
    if bool(args.workdir) == bool(args.data):
        raise UserError("--weights needs --data, and --workdir has its own data: give one of them")
    if args.batch < 1 or min(args.top) < 1:
        raise UserError("--batch and --top should be positive numbers")

    network = networks.load(args)
    class_names, split = open_split(args, network)
    begin = time.perf_counter()
    rows = metrics.with_top(args.top)
    limit = network.config.data.broken_limit if isinstance(network, TrainedNetwork) else 0
    result = evaluate(
        network,
        split,
        class_names,
        rows,
        batch_size=args.batch,
        flip=args.flip,
        broken_limit=limit,
    )
    seconds = time.perf_counter() - begin
    rate, photos = len(split) / seconds, len(result.predictions.names)
    if args.output:
        predictions.save(user_path(args.output), result.predictions)
    origin = runs.read_provenance(network.folder) if isinstance(network, TrainedNetwork) else None
    if origin:
        print(f"run {origin.run_id}, {origin.latest.code}")
    print(f"{photos:,} photos of {args.split}, {len(class_names):,} classes")
    print(result.table(rows))
    print(f"{tables.duration(seconds)}, {rate:.1f} images/s with compilation")
    if args.json:
        values = {"split": args.split, "photos": photos, "flip": args.flip, **result.metrics}
        values |= {"run_id": origin.run_id} if origin else {}
        command_line.print_json({**values, "seconds": seconds, "images_per_second": rate})


def open_split(
    args: argparse.Namespace, network: Network
) -> tuple[tuple[str, ...], input_pipeline.Split]:
    """Returns the class names and the photos.

    Raises:
      UserError: there is no such data or split, or its classes are not those of the network.
    """
    if isinstance(network, TrainedNetwork) and args.workdir:
        data = data_of(network, args.directory)
        return data.class_names, data.splits[args.split]
    source = input_pipeline.load_source(args.data, args.directory)
    if args.split not in source.splits:
        raise UserError(
            f"--split={args.split}: the data {args.data!r} has {', '.join(source.splits)}"
        )
    if len(source.class_names) != network.module.num_classes:
        raise UserError(
            f"--weights={args.weights} has {network.module.num_classes:,} classes, but the data "
            f"{args.data!r} has {len(source.class_names):,}: fine-tune it on them with train.py, "
            "and evaluate that --workdir"
        )
    check_classes(network, args.data, source.class_names)
    return source.class_names, source.splits[args.split]


if __name__ == "__main__":
    sys.exit(command_line.run(main))

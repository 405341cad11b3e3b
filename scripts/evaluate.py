"""Evaluates a network on a split, with every photo counted once.

python scripts/evaluate.py --workdir=runs/mine
python scripts/evaluate.py --workdir=runs/mine --stage=head --split=validation --flip
python scripts/evaluate.py --weights=lite_wheel --data=tfds:imagenet2012 --directory=DIRECTORY
"""

import argparse
import dataclasses
import logging
import sys
import time
from collections.abc import Iterator, Sequence

import jax
import numpy as np

import input_pipeline
from efficientnet import metrics
from efficientnet.errors import UserError
from efficientnet.inference.network import Network, TrainedNetwork
from efficientnet.inference.predict import photo_loader
from efficientnet.paths import absolute, user_path
from efficientnet.reporting import predictions, runs, scores, tables
from efficientnet.runtime import devices
from efficientnet.runtime.progress_bar import progress_bar
from efficientnet.training import setup, steps
from efficientnet.training.evaluate import Evaluator
from efficientnet.training.workdir import class_change
from scripts import command_line, networks

log = logging.getLogger(__name__)

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
    limit = network.config.data.broken_limit if isinstance(network, TrainedNetwork) else 0
    counted, logits = evaluate(network, split, args.batch, args.flip, limit)
    seconds = time.perf_counter() - begin
    found = predictions.from_logits(logits, split.labels, split.names, class_names)
    rows = metrics.with_top(args.top)
    values = scores.summary(found, rows)
    # From logits, as in training: probabilities are rounded, and at least 1e-38.
    values |= {name: counted[name] for name in values.keys() & counted.keys()}
    rate = len(split) / seconds
    if args.output:
        predictions.save(user_path(args.output), found)
    origin = runs.read_provenance(network.folder) if isinstance(network, TrainedNetwork) else None
    if origin:
        print(f"run {origin.run_id}, {origin.latest.code}")
    print(f"{len(found.names):,} photos of {args.split}, {len(class_names):,} classes")
    print(tables.aligned(("metric", "value"), [(n, rows[n].exact(v)) for n, v in values.items()]))
    print(f"{tables.duration(seconds)}, {rate:.1f} images/s with compilation")
    if args.json:
        result = {"split": args.split, "photos": len(found.names), "flip": args.flip, **values}
        result |= {"run_id": origin.run_id} if origin else {}
        command_line.print_json({**result, "seconds": seconds, "images_per_second": rate})


def open_split(
    args: argparse.Namespace, network: Network
) -> tuple[tuple[str, ...], input_pipeline.Split]:
    """Returns the class names and the photos.

    Raises:
      UserError: there is no such data or split, or its classes are not those of the network.
    """
    if isinstance(network, TrainedNetwork) and args.workdir:
        return _photos_of_run(network, args)
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
    _check_classes(network, args.data, source.class_names)
    return source.class_names, source.splits[args.split]


def _photos_of_run(
    run: TrainedNetwork, args: argparse.Namespace
) -> tuple[tuple[str, ...], input_pipeline.Split]:
    """Opens the data of a run, and warns if they have changed since the run began."""
    where = args.directory or run.config.data.directory
    source = dataclasses.replace(run.config.data, directory=where)
    config = dataclasses.replace(run.config, data=source)
    data, changes = setup.data_of_run(config, absolute(args.workdir))
    _check_classes(run, source.source, data.class_names)
    if changes:
        log.warning(
            "the data have changed since the run began (%s): photos that it has trained "
            "on may now be among those of %s",
            "; ".join(changes),
            args.split,
        )
    return data.class_names, data.splits[args.split]


def _check_classes(network: Network, data: str, found: Sequence[str]) -> None:
    """Raises a `UserError` if the labels of the data mean other classes than the network's."""
    known = network.class_names
    # The names of pretrained weights may be spelled differently; equal names must be in order.
    if not isinstance(network, TrainedNetwork) and sorted(known) != sorted(found):
        return
    change = class_change(known, found)
    if change:
        raise UserError(
            f"the data {data!r} has other classes than the network, or in another order "
            f"({change}): use data with the network's classes"
        )


def evaluate(
    network: Network,
    split: input_pipeline.Split,
    batch_size: int,
    flip: bool,
    broken_limit: int = 0,
) -> tuple[dict[str, float], np.ndarray]:
    """Returns what `Evaluator` returns for the split, and shows its progress."""
    mesh = devices.data_mesh()
    mean, std = (
        np.asarray(values, np.float32)
        for values in (network.preprocessing.mean, network.preprocessing.std)
    )
    program = steps.make_eval_step(network.module, mesh, mean=mean, std=std, flip=flip)

    loader = photo_loader(network, split, batch_size, broken_limit)

    def batches(split: input_pipeline.Split) -> Iterator[dict[str, jax.Array]]:
        return devices.to_devices(loader.evaluate(split), mesh)

    variables = devices.place(network.variables, mesh)
    with progress_bar("evaluating", len(split)) as line:
        return Evaluator(program, mesh, batches)(variables, split, line.update)


if __name__ == "__main__":
    sys.exit(command_line.run(main))

"""The arguments of commands that ask a network: a run of this program, or pretrained weights."""

import argparse

import efficientnet
from efficientnet.errors import UserError
from efficientnet.inference.network import Network
from efficientnet.runtime import compilation_cache


def add_images(parser: argparse.ArgumentParser) -> None:
    """Adds the photos that are asked about."""
    parser.add_argument(
        "images", nargs="+", type=_named, metavar="IMAGE", help="a file, a folder or a glob"
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --workdir with --stage, and --weights with --variant."""
    network = parser.add_mutually_exclusive_group(required=True)
    network.add_argument("--workdir", type=_named, metavar="RUN", help="a run of train.py")
    network.add_argument(
        "--weights", type=_named, metavar="W", help="a word such as lite_wheel, or a path"
    )
    parser.add_argument("--stage", help="of the run; by default the last that is finished")
    parser.add_argument("--variant", help="of the weights, such as b0; found out from a path")


def _named(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("it is empty: name a file or folder")
    return text


def load(args: argparse.Namespace) -> Network:
    """Loads the network that the arguments name, and remembers what is compiled for it.

    Raises:
      UserError: they don't go together, or name none.
    """
    compilation_cache.enable()
    if args.weights:
        if args.stage:
            raise UserError("--stage goes with --workdir: weights have no stages")
        return efficientnet.load(args.weights, args.variant)
    if args.variant:
        raise UserError("--variant goes with --weights: a run knows its own")
    # Orbax takes its time, and pretrained weights don't need it.
    from efficientnet.inference.trained import load_run

    return load_run(args.workdir, args.stage)

"""The arguments that choose a network: the workdir of a run, or pretrained weights."""

import argparse

import efficientnet
from efficientnet.errors import UserError
from efficientnet.inference.loading import load_run
from efficientnet.inference.network import Network
from efficientnet.runtime import compilation_cache


def add_images(parser: argparse.ArgumentParser) -> None:
    """Adds the photos to run the network on."""
    parser.add_argument(
        "images", nargs="+", type=_nonempty, metavar="IMAGE", help="a file, a folder or a glob"
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --workdir with --stage, and --weights with --variant."""
    network = parser.add_mutually_exclusive_group(required=True)
    network.add_argument("--workdir", type=_nonempty, metavar="RUN", help="a run of train.py")
    network.add_argument(
        "--weights", type=_nonempty, metavar="W", help="a name such as lite_wheel, or a path"
    )
    parser.add_argument("--stage", help="of the run; by default the last finished one")
    parser.add_argument("--variant", help="of the weights, such as b0; not needed with a path")


def _nonempty(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("it is empty: name a file or folder")
    return text


def load(args: argparse.Namespace) -> Network:
    """Loads the network that the arguments name, and enables the compilation cache.

    Raises:
      UserError: the arguments don't go together, or there is no such network.
    """
    compilation_cache.enable()
    if args.weights:
        if args.stage:
            raise UserError("--stage goes with --workdir: weights have no stages")
        return efficientnet.load(args.weights, args.variant)
    if args.variant:
        raise UserError("--variant goes with --weights: a run knows its own")
    return load_run(args.workdir, args.stage)

"""The arguments that choose a network: the workdir of a run, or pretrained weights."""

import argparse

import efficientnet
from efficientnet.errors import UserError
from efficientnet.inference.loading import load_run
from efficientnet.inference.network import Network
from efficientnet.runtime import compilation_cache

ARGUMENTS = ("workdir", "weights", "stage", "variant")


def add_images(parser: argparse.ArgumentParser) -> None:
    """Adds the photos to run the network on."""
    parser.add_argument(
        "images", nargs="+", type=_nonempty, metavar="IMAGE", help="a file, a folder or a glob"
    )


def add_arguments(parser: argparse.ArgumentParser, several: bool = False) -> None:
    """Adds --workdir with --stage, and --weights with --variant.

    Args:
      parser: to add them to.
      several: whether each may be given more than once; `one_by_one` then tells which go together.
    """
    action = "append" if several else "store"
    network = parser.add_mutually_exclusive_group(required=True)
    network.add_argument(
        "--workdir", type=_nonempty, metavar="RUN", action=action, help="a run of train.py"
    )
    network.add_argument(
        "--weights",
        type=_nonempty,
        metavar="W",
        action=action,
        help="a name such as lite_wheel or hf:OWNER/NAME, or a path",
    )
    parser.add_argument(
        "--stage", action=action, help="of the run; by default the last finished one"
    )
    parser.add_argument(
        "--variant", action=action, help="of the weights, such as b0; not needed with a path"
    )


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


def one_by_one(args: argparse.Namespace) -> list[argparse.Namespace]:
    """Returns the arguments of each network, for `load`.

    What is given once is for all networks: one run with two stages is two networks.

    Raises:
      UserError: the numbers of arguments leave open which go together.
    """
    given = {name: getattr(args, name) or [None] for name in ARGUMENTS}
    count = max(map(len, given.values()))
    for name, values in given.items():
        if len(values) not in (1, count):
            raise UserError(
                f"--{name} is given {len(values)} times for {count} networks: give it once for "
                "all, or once for each"
            )
    return [
        argparse.Namespace(**{name: values[at % len(values)] for name, values in given.items()})
        for at in range(count)
    ]

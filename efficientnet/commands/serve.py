"""Opens a page on which anyone can try a network: upload or camera, bars, Grad-CAM.

python scripts/serve.py --workdir=runs/mine
python scripts/serve.py --weights=lite_wheel --port=8000

Programs send photos to the same address and get JSON, as of predict.py:

    curl -F photos=@a.jpg -F photos=@b.jpg http://127.0.0.1:7860/classify

Only this machine can open the page; --host=0.0.0.0 lets everyone who reaches the machine. It needs
gradio: pip install '.[serve]'.
"""

import os
import pathlib
import socket
import sys
from collections.abc import Sequence

from efficientnet.commands import command_line, networks
from efficientnet.errors import UserError
from efficientnet.inference import serving


def main(arguments: Sequence[str]) -> None:
    """Parses the arguments and serves the page until Ctrl-C."""
    parser = command_line.parser(__doc__)
    networks.add_arguments(parser)
    parser.add_argument(
        "--top", type=int, default=5, metavar="K", help="classes to show for each photo"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at")
    parser.add_argument("--port", type=int, default=7860)
    args = parser.parse_args(arguments)
    command_line.check_positive(args, "top", "port")
    check_port(args.host, args.port)
    network = networks.load(args)
    classifier = serving.Classifier(network, args.top)
    app = serving.application(classifier, title(args.workdir or args.weights))
    classifier.warm_up()
    address = f"http://{args.host}:{args.port}"

    def ready() -> None:
        print(f"open {address} in a browser; Ctrl-C ends it", flush=True)
        if args.json:
            command_line.print_json({"address": address})

    serving.serve(app, args.host, args.port, ready)


def title(path: str) -> str:
    """Returns the name of a run or of weights, for the top of the page."""
    return pathlib.PurePath(path).name.replace("_", " ")


def check_port(host: str, port: int) -> None:
    """Raises a `UserError` if nothing can listen there, before the network is loaded."""
    if port > 65535:
        raise UserError(f"--port={port}: expected at most 65535")
    with socket.socket() as probe:
        if os.name == "posix":  # elsewhere it would take a port that is in use
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UserError(
                f"can't listen at {host}:{port} ({error.strerror}): choose another --port, or the "
                "--host of this machine"
            ) from error


if __name__ == "__main__":
    sys.exit(command_line.run(main))

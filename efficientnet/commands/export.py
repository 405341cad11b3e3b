"""Exports a network to a folder that can be used without this project.

python scripts/export.py --workdir=runs/mine --output=exported
python scripts/export.py --weights=lite_wheel --output=exported --formats=stablehlo,onnx

The formats are StableHLO for JAX on CPU, TPU and GPU, TensorFlow's SavedModel, TFLite and, with the
extra `onnx`, ONNX. Each takes uint8 photos in any batch size and normalizes them itself. Each is
run in a separate process; unless all agree with the network to 1e-4, nothing is left behind.
"""

import pathlib
import sys
from collections.abc import Sequence

from efficientnet.commands import command_line, networks
from efficientnet.inference.export.exporter import export
from efficientnet.inference.export.formats import DEFAULT, FORMATS, check_formats


def main(arguments: Sequence[str]) -> None:
    """Parses the arguments and writes the folder."""
    parser = command_line.parser(__doc__)
    networks.add_arguments(parser)
    parser.add_argument(
        "--output", type=command_line.local_path, required=True, help="a new folder"
    )
    parser.add_argument(
        "--formats", default=",".join(DEFAULT), help=f"of {','.join(FORMATS)}; default: %(default)s"
    )
    args = parser.parse_args(arguments)
    formats = list(dict.fromkeys(args.formats.split(",")))
    check_formats(formats)
    network = networks.load(args)
    source = args.weights or f"the run {pathlib.Path(args.workdir).resolve().name}"
    metadata = export(network, args.output, formats, source)
    for name, difference in metadata["largest_difference"].items():
        path = args.output / FORMATS[name].name
        print(f"wrote {path}, which agrees with the network to {difference:.1e}")
    if args.json:
        command_line.print_json({"output": str(args.output), **metadata})


if __name__ == "__main__":
    sys.exit(command_line.run(main))

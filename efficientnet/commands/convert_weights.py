"""Converts a checkpoint of any known format to this project's own, or lists the downloads.

python scripts/convert_weights.py efficientnet-b0-355c32eb.pth --output=b0.safetensors
python scripts/convert_weights.py noisy_student --variant=b0 --output=b0.safetensors
python scripts/convert_weights.py --list
"""

import dataclasses
import sys
import time
from collections.abc import Sequence
from typing import Any

from etils import epath

from efficientnet import weights
from efficientnet.commands import command_line
from efficientnet.paths import bytes_of, cache_directory, check_file, user_path
from efficientnet.weights import download, integrity
from efficientnet.weights.load import WORDS


def main(arguments: Sequence[str]) -> None:
    """Parses the arguments and runs what they ask for."""
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "source",
        nargs="?",
        help=f"a path, hf:OWNER/NAME, timm:NAME, or one of {', '.join(WORDS)}",
    )
    parser.add_argument("--output", type=user_path, help="the .safetensors file to write")
    parser.add_argument("--variant", help="such as b0; not needed with a path")
    parser.add_argument("--list", action="store_true", help="show what can be downloaded")
    args = parser.parse_args(arguments)
    if not args.list and (args.source is None or args.output is None):
        parser.error("expected SOURCE and --output, or --list")
    result = show_registry() if args.list else convert(args.source, args.variant, args.output)
    if args.json:
        command_line.print_json(result)


def show_registry() -> list[dict[str, Any]]:
    """Prints every published file, and whether it is in the cache."""
    rows = []
    for entry in download.DOWNLOADS.values():
        path = epath.Path(entry.path)
        cached, digest = path.exists(), integrity.recorded(path)
        rows.append({**dataclasses.asdict(entry), "digest": digest, "cached": cached})
        print(f"{entry.word:14} {entry.variant:8} {'cached' if cached else '':7} {entry.url}")
    print(f"The cache is {cache_directory()}.")
    return rows


def convert(source: str, variant: str | None, output: epath.Path) -> dict[str, Any]:
    """Reads a checkpoint, writes it, reads it back, and prints a summary."""
    check_file(output, (".safetensors",))
    start = time.perf_counter()
    pretrained = weights.load_pretrained(source, variant)
    weights.save(pretrained, output)
    seconds = time.perf_counter() - start
    size = bytes_of(output)
    classifier = "no classifier, for fine-tuning only"
    if pretrained.num_classes:
        classifier = f"{pretrained.num_classes} classes"
    kind = "moving averages" if pretrained.ema else "no moving averages"
    print(
        f"{pretrained.source}: {pretrained.variant}, {classifier}, "
        f"{pretrained.parameters:,} parameters ({kind}), in {pretrained.family} names.\n"
        f"Normalizes (x - {list(pretrained.preprocessing.mean)}) / "
        f"{list(pretrained.preprocessing.std)}, pads {pretrained.padding}, "
        f"BatchNorm epsilon {pretrained.bn_epsilon}.\n"
        f"From {pretrained.origin}, license: {pretrained.license or 'not stated'}.\n"
        f"Wrote {output} ({size:,} bytes) and read it back unchanged, "
        f"in {seconds:.1f} s."
    )
    return {
        "output": str(output),
        "bytes": size,
        "variant": pretrained.variant,
        "family": pretrained.family,
        "source": pretrained.source,
        "origin": pretrained.origin,
        "digest": pretrained.digest,
        "license": pretrained.license,
        "moving_averages": pretrained.ema,
        "num_classes": pretrained.num_classes,
        "parameters": pretrained.parameters,
        "preprocessing": dataclasses.asdict(pretrained.preprocessing),
        "padding": pretrained.padding,
        "bn_epsilon": pretrained.bn_epsilon,
        "seconds": round(seconds, 3),
    }


if __name__ == "__main__":
    sys.exit(command_line.run(main))

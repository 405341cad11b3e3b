"""The command line of scripts/compile_tpu.py."""

import logging
from collections.abc import Sequence

from efficientnet.commands import command_line, recipes
from efficientnet.errors import UserError


def main(arguments: Sequence[str]) -> None:
    """Parses the arguments, compiles, prints the table."""
    parser = command_line.parser(
        "Compiles a recipe for a TPU slice, which need not exist.",
        epilog="Fields of the config can be overridden as for train.py: --config.dtype=bfloat16.",
        allow_abbrev=False,
    )
    parser.add_argument("--config", required=True, help="the recipe, as for train.py")
    parser.add_argument("--topology", required=True, help="v5e:4x4, v4:2x2x1, v5p:..., v6e:...")
    parser.add_argument("--batch", help="over all chips; 'auto' finds the largest that fits")
    parser.add_argument(
        "--classes", type=int, help="number of classes, instead of those of the data"
    )
    parser.add_argument(
        "--photos", type=int, help="number of training photos, instead of those of the data"
    )
    args, overrides = parser.parse_known_args(arguments)
    command_line.check_positive(args, "classes", "photos")
    config = recipes.read(args.config, overrides)
    logging.basicConfig(format="%(message)s", level=logging.WARNING)

    # JAX takes seconds to import; a wrong flag is reported before.
    from benchmarks.estimates import table
    from benchmarks.estimates.slice import estimate_slice

    batch = parse_batch(args.batch)
    result = estimate_slice(config, args.topology, batch, args.classes, args.photos)
    print(table.table(result))
    if args.json:
        command_line.print_json(result.to_json())


def parse_batch(text: str | None) -> int | None:
    """Parses --batch: None if it is not given, 0 for 'auto'."""
    if text is None:
        return None
    if text == "auto":
        return 0
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f"--batch={text}: expected a positive number, or 'auto'")
    return int(text)

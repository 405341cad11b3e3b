"""Shows what a network consists of: outputs, parameters, multiply-adds, and what stages train.

python scripts/summary.py
python scripts/summary.py --variant=b0 --num_classes=196 --layers
python scripts/summary.py --config=configs/cars_b0.py --num_classes=196

Without arguments it lists all variants. Of a recipe it also shows how many parameters each stage
trains; any field can be overridden as for train.py, such as --config.variant=b3. It needs neither
weights nor photos.
"""

import sys
import textwrap
from collections.abc import Sequence
from typing import Any

from efficientnet.commands import command_line, recipes
from efficientnet.config import StageConfig
from efficientnet.errors import UserError
from efficientnet.network.freeze_groups import trainable
from efficientnet.network.summary import Part, summarize
from efficientnet.network.variants import VARIANTS, get_variant
from efficientnet.reporting.tables import aligned

IMAGENET_CLASSES = 1000
CONVENTION = (
    "A multiplication with its addition counts as one, as in the papers' FLOPs: those of "
    "convolutions and the classifier, for one image."
)
NONE = "-"
WIDTH = 80  # of the text below a table


def main(arguments: Sequence[str]) -> None:
    """Parses the arguments and prints the table."""
    parser = command_line.parser(__doc__, allow_abbrev=False)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--variant", help=f"one of {', '.join(VARIANTS)}")
    choice.add_argument("--config", metavar="RECIPE", help="as for train.py")
    parser.add_argument("--num_classes", type=int, metavar="N", help="by default 1,000")
    parser.add_argument("--resolution", type=int, metavar="N", help="by default the variant's")
    parser.add_argument("--layers", action="store_true", help="list the layers of each block too")
    args, overrides = parser.parse_known_args(arguments)
    if overrides and not args.config:
        parser.error(f"unrecognized arguments: {' '.join(overrides)}")
    command_line.check_positive(args, "num_classes", "resolution")
    if args.config and not args.num_classes:
        raise UserError(
            "--config needs --num_classes, such as --num_classes=196: a recipe's classes are those "
            "of its data, which are not read here"
        )
    if args.config and args.resolution:
        raise UserError("--resolution goes with --variant: a recipe has --config.resolution")

    classes = args.num_classes or IMAGENET_CLASSES
    if args.config:
        recipe = recipes.read(args.config, overrides)
        variant = get_variant(recipe.variant)
        resolution = recipe.resolution or variant.resolution
        network = summarize(variant, classes, resolution, recipe.channels, recipe.head_batch_norm)
        result: Any = describe(recipe.variant, network, resolution, recipe.stages, args.layers)
    elif args.variant:
        variant = get_variant(args.variant)
        resolution = args.resolution or variant.resolution
        network = summarize(variant, classes, resolution)
        result = describe(args.variant, network, resolution, (), args.layers)
    else:
        result = compare(classes, args.resolution)
    if args.json:
        command_line.print_json(result)


def compare(num_classes: int, resolution: int | None) -> list[dict[str, Any]]:
    """Prints a table of all variants and returns its rows."""
    result = [
        sizes(name, summarize(variant, num_classes, side), side)
        for name, variant in VARIANTS.items()
        for side in (resolution or variant.resolution,)
    ]
    header = ("variant", "resolution", "parameters", "multiply-adds", "float32 weights")
    rows = [
        (
            row["variant"],
            str(row["resolution"]),
            f"{row['parameters']:,}",
            f"{row['multiply_adds'] / 1e9:.2f} G",
            f"{row['bytes'] / 1e6:,.1f} MB",
        )
        for row in result
    ]
    print(aligned(header, rows))
    note(f"Networks have {num_classes:,} classes.", CONVENTION)
    return result


def describe(
    name: str, network: Part, resolution: int, stages: Sequence[StageConfig], each_layer: bool
) -> dict[str, Any]:
    """Prints a table of a network's freeze groups and blocks, and returns what is in it.

    Args:
      name: of the variant.
      network: all its layers.
      resolution: of the images, pixels.
      stages: a column each, of the parameters that they train.
      each_layer: whether to list the layers of blocks too.
    """
    trains = [trainable(stage) for stage in stages]
    header = (name, "output", "parameters", "multiply-adds", *(stage.name for stage in stages))
    rows = [
        (
            "  " * part.depth + part.name,
            " x ".join(map(str, part.output)),
            f"{part.parameters:,}",
            f"{part.multiply_adds / 1e6:,.2f} M" if part.multiply_adds else NONE,
            *(f"{part.trained(each):,}" if part.trained(each) else NONE for each in trains),
        )
        for part in (*network.parts(), network)
        if each_layer or part.depth < 2
    ]
    print(aligned(header, rows))
    note(
        f"Images have {resolution} x {resolution} pixels.",
        f"BatchNorm has {network.statistics:,} moving means and variances besides the parameters; "
        f"in float32 both take {network.bytes / 1e6:,.1f} MB.",
        CONVENTION,
        "Below the name of a stage are the parameters that it trains." if stages else "",
    )
    result = sizes(name, network, resolution)
    result["layers"] = [
        {
            "name": part.name,
            "output": part.output,
            "parameters": part.parameters,
            "multiply_adds": part.multiply_adds,
        }
        for part in network.parts()
        if part.depth == 2
    ]
    result["stages"] = [
        {"name": stage.name, "train": stage.train, "trainable": network.trained(trained)}
        for stage, trained in zip(stages, trains, strict=True)
    ]
    return result


def note(*sentences: str) -> None:
    """Prints sentences below a table."""
    print("\n" + textwrap.fill(" ".join(sentences), WIDTH))


def sizes(name: str, network: Part, resolution: int) -> dict[str, Any]:
    """Returns the totals of a network, as --json prints them."""
    return {
        "variant": name,
        "resolution": resolution,
        "parameters": network.parameters,
        "batch_norm_statistics": network.statistics,
        "multiply_adds": network.multiply_adds,
        "bytes": network.bytes,
    }


if __name__ == "__main__":
    sys.exit(command_line.run(main))

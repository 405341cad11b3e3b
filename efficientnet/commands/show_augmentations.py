"""Draws what an augmentation does to a photo: each operation by itself, and all together.

python scripts/show_augmentations.py photo.jpg --output=augmented.png \
    --augment='random_resized_crop(scale=(0.5, 1.0))|flip_left_right|rotate(25)'
python scripts/show_augmentations.py --config=configs/cars_b0.py --output=augmented.png \
    --config.data.directory=DIRECTORY

Before that it shows the photo as it is, and as the network sees it in evaluation. If a recipe takes
the place of the photo, some of its photos to train on are shown with their classes, and the first
of them is augmented; any field can be overridden as for train.py.
"""

import argparse
import sys
from collections.abc import Sequence

import numpy as np
from PIL import Image

import input_pipeline
from efficientnet.commands import command_line, recipes
from efficientnet.config import RunConfig
from efficientnet.errors import UserError
from efficientnet.network.variants import get_variant
from efficientnet.paths import check_file, user_path
from efficientnet.reporting import augmentations
from efficientnet.reporting.photo_sheet import draw
from input_pipeline.sources.split import from_encoded

RESOLUTION = 224
MAX_VERSIONS = 1000
MAX_LINES = 100  # across or down
OF_RECIPE = ("augment", "preprocess", "resolution")  # arguments that a recipe stands in for


def main(arguments: Sequence[str]) -> None:
    """Parses the arguments and writes the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("image", type=user_path, nargs="?", help="the photo")
    parser.add_argument("--augment", help="operations, applied from left to right")
    parser.add_argument("--preprocess", help="operations in evaluation, by default resize")
    parser.add_argument(
        "--resolution", type=int, help="pixels per side of each version, by default 224"
    )
    parser.add_argument("--config", metavar="RECIPE", help="as for train.py")
    parser.add_argument("--output", type=user_path, required=True, help="a .png to write")
    parser.add_argument("--rows", type=int, default=3, help="of photos and of versions")
    parser.add_argument("--columns", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    args, overrides = parser.parse_known_args(arguments)
    if overrides and not args.config:
        parser.error(f"unrecognized arguments: {' '.join(overrides)}")
    if not args.config and (args.image is None or args.augment is None):
        parser.error("expected a photo and --augment, or --config")
    for name in OF_RECIPE:
        if args.config and getattr(args, name) is not None:
            raise UserError(f"--{name} goes without --config: a recipe has --config.{name}")
    if args.rows < 1 or args.columns < 1:
        raise UserError("--rows and --columns should be positive")
    count = args.rows * args.columns
    if count > MAX_VERSIONS or max(args.rows, args.columns) > MAX_LINES:
        raise UserError(
            f"--rows={args.rows} times --columns={args.columns}: expected at most {MAX_VERSIONS} "
            f"variants, and {MAX_LINES} in a line"
        )
    check_file(args.output, (".png",))

    if args.config:
        recipe = recipes.read(args.config, overrides)
        augment, preprocess, channels = recipe.augment, recipe.preprocess, recipe.channels
        resolution = recipe.resolution or get_variant(recipe.variant).resolution
    else:
        augment, preprocess, channels = args.augment, args.preprocess or "resize", 3
        resolution = RESOLUTION if args.resolution is None else args.resolution
    # What is wrong is said before any photo is read.
    input_pipeline.Augmentation(augment, resolution, channels)
    input_pipeline.without_chance(preprocess, resolution, channels)

    class_names: Sequence[str] = ()
    if args.image is None:
        class_names, photos = _training_photos(recipe, count, args.seed)
    else:
        photos = from_encoded([args.image.read_bytes()], [str(args.image)], [0])
    loader = input_pipeline.Loader(
        photos,
        batch_size=1,
        resolution=resolution,
        channels=channels,
        augment=augment,
        preprocess=preprocess,
        seed=args.seed,
    )
    sections = augmentations.sections(loader, class_names, args.columns, count)
    with args.output.open("wb") as file:
        Image.fromarray(draw(sections, args.columns)).save(file, "PNG")
    print(f"wrote {args.output}")


def _training_photos(
    recipe: RunConfig, count: int, seed: int
) -> tuple[tuple[str, ...], input_pipeline.Split]:
    """Returns the names of all classes, and so many photos, drawn at random."""
    from efficientnet.training import setup  # JAX takes seconds to import

    data = setup.load_data(recipe)
    order = np.random.default_rng(seed).permutation(len(data.train))
    return data.class_names, data.train.take(order[:count])


if __name__ == "__main__":
    sys.exit(command_line.run(main))

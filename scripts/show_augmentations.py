"""Draws a grid of augmented versions of one photo; the first is the photo itself.

python scripts/show_augmentations.py photo.jpg --output=grid.png \
    --augment='random_resized_crop(scale=(0.5, 1.0))|flip_left_right|rotate(25)'
"""

import argparse
import sys
from collections.abc import Sequence

import numpy as np
from PIL import Image

import input_pipeline
from efficientnet.errors import UserError
from efficientnet.paths import check_file, user_path
from input_pipeline.sources.split import from_encoded
from scripts import command_line

MAX_VARIANTS = 1000  # in one picture


def main(arguments: Sequence[str]) -> None:
    """Parses the arguments and writes the grid."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image", type=user_path)
    parser.add_argument("--augment", required=True, help="operations, applied from left to right")
    parser.add_argument("--output", type=user_path, required=True, help="a .png to write")
    parser.add_argument(
        "--resolution", type=int, default=224, help="pixels per side of each version"
    )
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--columns", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    if args.rows < 1 or args.columns < 1:
        raise UserError("--rows and --columns should be positive")
    if args.rows * args.columns > MAX_VARIANTS:
        raise UserError(
            f"--rows={args.rows} times --columns={args.columns}: expected at most {MAX_VARIANTS} "
            "variants"
        )
    check_file(args.output, (".png",))

    photo = from_encoded([args.image.read_bytes()], [str(args.image)], [0])
    loader = input_pipeline.Loader(
        photo, batch_size=1, resolution=args.resolution, augment=args.augment, seed=args.seed
    )
    batches = [*loader.evaluate(photo), *loader.train(0, args.rows * args.columns - 1)]
    images = [batch["image"][0] for batch in batches]
    grid = np.stack(images).reshape(args.rows, args.columns, *images[0].shape)
    grid = np.concatenate(np.concatenate(grid, 1), 1)
    with args.output.open("wb") as file:
        Image.fromarray(grid).save(file, "PNG")
    print(f"wrote {args.output}")


if __name__ == "__main__":
    sys.exit(command_line.run(main))

"""Shows where in photos a network sees a class, with Grad-CAM (Selvaraju et al. 2017).

python scripts/explain.py photo.jpg --workdir=runs/mine --output=why.png
python scripts/explain.py folder --workdir=runs/mine --class=daisy --output=explanations

Each photo is drawn as the network sees it, and beside it under a heat map of a class: of the most
probable one, or of --class. A folder gets one picture per photo; a .png holds them all.
"""

import difflib
import os
import pathlib
import sys
from collections.abc import Sequence

from PIL import Image

import input_pipeline
from efficientnet.errors import UserError
from efficientnet.inference import heatmaps
from efficientnet.inference.explain import BATCH_SIZE, Explanation, explain
from efficientnet.inference.network import Network
from efficientnet.inference.predict import photo_loader
from efficientnet.paths import check_file, check_folder
from efficientnet.runtime.progress_bar import progress_bar
from scripts import command_line, networks

DPI = 100
LONGEST_STEM = 240  # bytes
MAX_TOGETHER = 60  # photos in one picture


def main(arguments: Sequence[str]) -> None:
    """Parses the arguments and writes the pictures."""
    parser = command_line.parser(__doc__)
    networks.add_images(parser)
    networks.add_arguments(parser)
    parser.add_argument(
        "--class",
        dest="name",
        help="the class to explain; by default the most probable one of each photo",
    )
    parser.add_argument(
        "--output",
        type=command_line.local_path,
        required=True,
        help="a .png for all photos, or a folder",
    )
    args = parser.parse_args(arguments)
    paths = input_pipeline.find_photos(args.images)
    together = args.output.suffix == ".png"
    if together:
        check_file(args.output)
    elif args.output.suffix.lower() in Image.registered_extensions():
        raise UserError(f"can't write {args.output}: expected a name ending in .png, or a folder")
    else:
        check_folder(args.output)
    if together and len(paths) > MAX_TOGETHER:
        raise UserError(f"{len(paths)} photos are too many for one picture: make --output a folder")
    network = networks.load(args)
    label = None if args.name is None else _label(network, args.name)
    if not together:
        args.output.mkdir(parents=True, exist_ok=True)

    results, kept = [], []
    photos = photo_loader(network, input_pipeline.photo_split(paths), BATCH_SIZE, len(paths))
    taken: set[str] = set()
    with progress_bar("explain", len(paths), hidden=together) as line:
        for explanation in explain(network, photos, label):
            picture = args.output if together else args.output / _free_name(explanation, taken)
            results.append(
                {
                    "image": explanation.name,
                    "class": network.class_names[explanation.label],
                    "probability": explanation.probability,
                    "picture": str(picture),
                }
            )
            if together:
                kept.append(explanation)
            else:
                heatmaps.draw([explanation], network.class_names).savefig(picture, dpi=DPI)
            line.update()
    if kept:
        heatmaps.draw(kept, network.class_names).savefig(args.output, dpi=DPI)
    if results:
        print(f"wrote {args.output}")
    if args.json:
        command_line.print_json(results)
    command_line.refuse_broken(photos.skipped, len(paths))


def _label(network: Network, name: str) -> int:
    if name in network.class_names:
        return network.class_names.index(name)
    close = difflib.get_close_matches(name, network.class_names, n=5, cutoff=0.5)
    known = close or network.class_names[:5]
    raise UserError(f"there is no class {name!r}: expected a name such as {', '.join(known)}")


def _free_name(explanation: Explanation, taken: set[str]) -> str:
    # A file's name has at most 255 bytes.
    stem = os.fsdecode(os.fsencode(pathlib.Path(explanation.name).stem)[:LONGEST_STEM])
    number = 1
    name = f"{stem}.png"
    while name in taken:
        number += 1
        name = f"{stem}_{number}.png"
    taken.add(name)
    return name


if __name__ == "__main__":
    sys.exit(command_line.run(main))

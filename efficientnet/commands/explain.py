"""Shows where in photos networks see a class, with Grad-CAM (Selvaraju et al. 2017).

python scripts/explain.py photo.jpg --workdir=runs/mine --output=why.png
python scripts/explain.py folder --workdir=runs/mine --class=daisy --output=explanations
python scripts/explain.py folder --workdir=runs/b0 --workdir=runs/b3 --output=why.png
python scripts/explain.py folder --workdir=runs/mine --stage=head --stage=all --output=why.png

Each photo is drawn as the network sees it, and beside it under a heat map of a class: of the one
that the network finds most probable, or of --class. Several networks, which may have other classes
and sizes, have a column each. A folder gets one picture per photo; a .png holds them all.
"""

import argparse
import dataclasses
import os
import pathlib
import sys
from collections.abc import Sequence

from PIL import Image

import input_pipeline
from efficientnet.commands import command_line, networks
from efficientnet.errors import UserError
from efficientnet.inference import heatmaps
from efficientnet.inference.explain import BATCH_SIZE, explain
from efficientnet.inference.network import Network
from efficientnet.inference.predict import class_index, photo_loader
from efficientnet.paths import check_file, check_folder
from efficientnet.reporting.comparison import short_names
from efficientnet.runtime.progress_bar import progress_bar

DPI = 100
LONGEST_STEM = 240  # bytes
MAX_TOGETHER = 60  # photos in one picture


def main(arguments: Sequence[str]) -> None:
    """Parses the arguments and writes the pictures."""
    parser = command_line.parser(__doc__)
    networks.add_images(parser)
    networks.add_arguments(parser, several=True)
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
    chosen = networks.one_by_one(args)
    titles = _titles(chosen)
    loaded = [networks.load(one) for one in chosen]
    labels = [args.name and class_index(each, args.name) for each in loaded]
    if not together:
        args.output.mkdir(parents=True, exist_ok=True)

    class_names = [network.class_names for network in loaded]
    headings = titles if len(titles) > 1 else []
    results, kept = [], []
    skipped: list[str] = []
    taken: set[str] = set()
    rows = zip(
        *(
            explain(network, _photos(network, paths, skipped), label)
            for network, label in zip(loaded, labels, strict=True)
        ),
        strict=True,
    )
    few = len(paths) * len(loaded) <= BATCH_SIZE
    with progress_bar("explain", len(paths), hidden=together and few) as line:
        for row in rows:
            picture = args.output if together else args.output / _free_name(row[0].name, taken)
            results += [
                {
                    "image": explanation.name,
                    "network": title,
                    "class": names[explanation.label],
                    "probability": explanation.probability,
                    "picture": str(picture),
                }
                for explanation, title, names in zip(row, titles, class_names, strict=True)
            ]
            if together:
                kept.append(row)
            else:
                heatmaps.draw([row], class_names, headings).savefig(picture, dpi=DPI)
            line.update()
    if kept:
        heatmaps.draw(kept, class_names, headings).savefig(args.output, dpi=DPI)
    if results:
        print(f"wrote {args.output}")
    if args.json:
        command_line.print_json(results)
    command_line.refuse_broken(skipped, len(paths))


def _titles(chosen: Sequence[argparse.Namespace]) -> list[str]:
    """Returns a name for each network, such as the last part of its run's path."""
    places = list(dict.fromkeys(one.weights or one.workdir for one in chosen))
    names = dict(zip(places, short_names(places), strict=True))
    titles = [
        ", ".join(filter(None, (names[one.weights or one.workdir], one.stage, one.variant)))
        for one in chosen
    ]
    if len(set(titles)) < len(titles):
        raise UserError("the same network is named twice: name each once")
    return titles


def _photos(network: Network, paths: Sequence[str], skipped: list[str]) -> input_pipeline.Loader:
    """Returns the photos for a network; what can't be read is said, and added, only once."""
    photos = input_pipeline.photo_split(paths)
    loader = photo_loader(network, photos, BATCH_SIZE, broken_limit=len(paths))
    return dataclasses.replace(loader, skipped=skipped)


def _free_name(photo: str, taken: set[str]) -> str:
    # A file's name has at most 255 bytes.
    stem = os.fsdecode(os.fsencode(pathlib.Path(photo).stem)[:LONGEST_STEM])
    number = 1
    name = f"{stem}.png"
    while name in taken:
        number += 1
        name = f"{stem}_{number}.png"
    taken.add(name)
    return name


if __name__ == "__main__":
    sys.exit(command_line.run(main))

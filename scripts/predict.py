"""Says what is on photos, with pretrained weights and no training.

python scripts/predict.py --weights=lite_wheel photo.jpg another.png
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence

import numpy as np

import efficientnet
from efficientnet.loading import read_photo
from efficientnet.network import Network
from scripts import command_line

SHOWN = 5


def main(arguments: Sequence[str]) -> None:
    """Parses the arguments, classifies the photos one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="+", type=pathlib.Path, metavar="IMAGE")
    parser.add_argument("--weights", required=True, help="a word such as lite_wheel, or a path")
    parser.add_argument("--variant", help="such as b0; found out from a path when left away")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    args = parser.parse_args(arguments)

    network = efficientnet.load(args.weights, args.variant)
    photos = [read_photo(path, network.resolution, network.channels) for path in args.images]
    results = []
    for path, photo in zip(args.images, photos, strict=True):
        predictions = classify(network, photo)
        results.append({"image": str(path), "predictions": predictions})
        print(path)
        for row in predictions:
            print(f"  {row['probability']:6.1%}  {row['class']}")
    if args.json:
        command_line.print_json(results)


def classify(network: Network, photo: np.ndarray) -> list[dict[str, object]]:
    """The most probable classes of one photo [H, W, C], best first."""
    (logits,) = np.asarray(network(photo[np.newaxis]), np.float64)
    probabilities = np.exp(logits - logits.max())
    probabilities /= probabilities.sum()
    best = np.argsort(-probabilities, kind="stable")[:SHOWN]
    return [
        {
            "index": int(index),
            "class": network.class_names[index],
            "probability": float(probabilities[index]),
        }
        for index in best
    ]


if __name__ == "__main__":
    sys.exit(command_line.run(main))

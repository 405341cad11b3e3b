"""Says what is on photos, with a run of train.py or with pretrained weights.

python scripts/predict.py photo.jpg folder '2026/*.png' --workdir=runs/mine
python scripts/predict.py photo.jpg --weights=lite_wheel
python scripts/predict.py folder --workdir=runs/mine --format=csv --output=predictions.csv
python scripts/predict.py folder --workdir=runs/mine --features=features.npz

Photos are prepared as in the run's evaluation. Those that can't be read are named, and the exit
status is then 1.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is imported

import argparse
import sys
from collections.abc import Sequence

import numpy as np

import input_pipeline
from efficientnet.errors import UserError
from efficientnet.inference import writers
from efficientnet.inference.predict import Predictions, best
from efficientnet.paths import check_file
from scripts import command_line, networks


def main(arguments: Sequence[str]) -> None:
    """Parses the arguments and classifies the photos."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    networks.add_images(parser)
    networks.add_arguments(parser)
    parser.add_argument("--top", type=int, default=5, metavar="K", help="classes shown of a photo")
    parser.add_argument("--format", choices=writers.FORMATS, default="table")
    parser.add_argument(
        "--output", type=command_line.local_path, metavar="FILE", help="in place of stdout"
    )
    parser.add_argument(
        "--features",
        type=command_line.local_path,
        metavar="FILE",
        help="also write what the classifier sees of each photo, to .npz or .parquet",
    )
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    args = parser.parse_args(arguments)
    if args.top < 1:
        raise UserError(f"--top={args.top} should be a positive number of classes")
    if args.output:
        check_file(args.output)
    if args.features:
        writers.check_features_path(args.features)
    paths = input_pipeline.find_photos(args.images)
    network = networks.load(args)

    results, names, features = [], [], []
    with writers.opened(args.output) as output:
        writer = writers.FORMATS[args.format](output)
        predictions = Predictions(network, paths)
        for answers in predictions:
            for name, probabilities in zip(answers.names, answers.probabilities, strict=True):
                result = {"image": name, "predictions": best(network, probabilities, args.top)}
                writer.write(result)
                if args.json:
                    results.append(result)
            if args.features:
                names.extend(answers.names)
                features.append(answers.features)
    if features:
        writers.write_features(args.features, names, np.concatenate(features))
    if args.json:
        command_line.print_json(results)
    command_line.refuse_broken(predictions.skipped, len(paths))


if __name__ == "__main__":
    sys.exit(command_line.run(main))

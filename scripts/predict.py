"""Classifies photos with a run of train.py or with pretrained weights.

python scripts/predict.py photo.jpg folder '2026/*.png' --workdir=runs/mine
python scripts/predict.py photo.jpg --weights=lite_wheel
python scripts/predict.py folder --workdir=runs/mine --format=csv --output=predictions.csv
python scripts/predict.py folder --workdir=runs/mine --features=features.npz

Photos are preprocessed as in the run's evaluation. If some can't be read, the others are
classified, an error names them, and the exit status is 1.
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
from efficientnet.inference.predict import Predictor, top_classes
from efficientnet.paths import check_file
from scripts import command_line, networks


def main(arguments: Sequence[str]) -> None:
    """Parses the arguments and classifies the photos."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    networks.add_images(parser)
    networks.add_arguments(parser)
    parser.add_argument(
        "--top", type=int, default=5, metavar="K", help="classes to show for each photo"
    )
    parser.add_argument("--format", choices=writers.FORMATS, default="table")
    parser.add_argument(
        "--output", type=command_line.local_path, metavar="FILE", help="by default stdout"
    )
    parser.add_argument(
        "--features",
        type=command_line.local_path,
        metavar="FILE",
        help="also write the input of the classifier for each photo, to .npz or .parquet",
    )
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    args = parser.parse_args(arguments)
    if args.top < 1:
        raise UserError(f"--top={args.top} should be at least 1")
    if args.output:
        check_file(args.output)
    if args.features:
        writers.check_features_path(args.features)
    paths = input_pipeline.find_photos(args.images)
    network = networks.load(args)

    results, names, features = [], [], []
    with writers.opened(args.output) as output:
        writer = writers.FORMATS[args.format](output)
        predictor = Predictor(network, paths)
        for batch in predictor:
            for name, probabilities in zip(batch.names, batch.probabilities, strict=True):
                top = top_classes(network, probabilities, args.top)
                result = {"image": name, "predictions": top}
                writer.write(result)
                if args.json:
                    results.append(result)
            if args.features:
                names.extend(batch.names)
                features.append(batch.features)
    if features:
        writers.write_features(args.features, names, np.concatenate(features))
    if args.json:
        command_line.print_json(results)
    command_line.refuse_broken(predictor.skipped, len(paths))


if __name__ == "__main__":
    sys.exit(command_line.run(main))

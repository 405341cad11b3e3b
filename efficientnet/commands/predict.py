"""Classifies photos with a run of train.py or with pretrained weights.

python scripts/predict.py photo.jpg folder '2026/*.png' --workdir=runs/mine
python scripts/predict.py photo.jpg --weights=lite_wheel
python scripts/predict.py folder --workdir=runs/mine --format=csv --output=predictions.csv
python scripts/predict.py folder --workdir=runs/mine --features=features.npz

Photos are preprocessed as in the run's evaluation. If some can't be read, the others are
classified, an error names them, and the exit status is 1.
"""

import sys
from collections.abc import Iterator, Sequence

import numpy as np

import input_pipeline
from efficientnet.commands import command_line, networks
from efficientnet.errors import UserError
from efficientnet.inference import writers
from efficientnet.inference.predict import photo_loader, predict, top_classes
from efficientnet.paths import check_file


def main(arguments: Sequence[str]) -> None:
    """Parses the arguments and classifies the photos."""
    parser = command_line.parser(__doc__)
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
    args = parser.parse_args(arguments)
    if args.top < 1:
        raise UserError(f"--top={args.top} should be at least 1")
    if args.output:
        check_file(args.output)
    if args.features:
        writers.check_features_path(args.features)
    paths = input_pipeline.find_photos(args.images)
    network = networks.load(args)

    results: list[writers.Prediction] = []
    names: list[str] = []
    features: list[np.ndarray] = []
    photos = photo_loader(network, input_pipeline.photo_split(paths), broken_limit=len(paths))

    def predictions() -> Iterator[writers.Prediction]:
        for batch in predict(network, photos):
            for name, probabilities in zip(batch.names, batch.probabilities, strict=True):
                top = top_classes(network, probabilities, args.top)
                result = {"image": name, "predictions": top}
                if args.json:
                    results.append(result)
                yield result
            if args.features:
                names.extend(batch.names)
                features.append(batch.features)

    with writers.opened(args.output) as output:
        writers.FORMATS[args.format](output, predictions())
    if features:
        writers.write_features(args.features, names, np.concatenate(features))
    if args.json:
        command_line.print_json(results)
    command_line.refuse_broken(photos.skipped, len(paths))


if __name__ == "__main__":
    sys.exit(command_line.run(main))

"""Plants copies among photos, and counts how many of them the audit finds.

    python benchmarks/near_duplicates.py --data=/data/cars --json

A quarter of the copies each is encoded anew (JPEG quality 20 to 60), resized (0.3 to 0.8), cropped
by a tenth (of both sides, of the area or of one side, anywhere) and brightened (1.2 to 1.5 times,
or by 20 to 60 of 255). A pair with a copy is false if it is neither of the copy and its original
nor of two photos that are a pair without copies. Other pairs stand in the data themselves: look at
them with --report.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence

import cv2
import numpy as np

import input_pipeline
from efficientnet.commands import command_line
from efficientnet.reporting.audit import write_audit
from efficientnet.runtime.progress_bar import progress_bar
from input_pipeline import decode
from input_pipeline.audit.duplicates import Pair
from input_pipeline.audit.photos import Photo
from input_pipeline.audit.problems import audit
from input_pipeline.sources.split import Source, from_encoded

Place = tuple[str, int]  # a split and an index

PLANTED = "planted"
SAVED = 90  # JPEG quality


def main(arguments: Sequence[str]) -> None:
    """Parses the arguments, plants the copies and prints what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", default="stanford_cars", help="as of scripts/prepare_data.py")
    parser.add_argument("--data", required=True, metavar="DIR", help="where the photos are")
    parser.add_argument("--copies", type=int, default=200, help="to plant")
    parser.add_argument("--seed", type=int, default=0, help="of the copies")
    parser.add_argument(
        "--report", type=command_line.local_path, metavar="DIR", help="where to write the page"
    )
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    args = parser.parse_args(arguments)
    source = input_pipeline.load_source(args.source, args.data)
    photos = [(name, index) for name, split in source.splits.items() for index in range(len(split))]
    rng = np.random.default_rng(args.seed)
    originals = [photos[i] for i in rng.choice(len(photos), args.copies, replace=False)]
    kinds = [list(CHANGES)[number % len(CHANGES)] for number in range(args.copies)]
    copies = []
    for (name, index), kind in zip(originals, kinds, strict=True):
        encoded = source.splits[name].read(index)
        assert isinstance(encoded, bytes)
        copies.append(_saved(CHANGES[kind](decode.decode(encoded, 3), rng)))
    names = [
        f"{kind} {source.splits[name].names[index]}"
        for (name, index), kind in zip(originals, kinds, strict=True)
    ]
    labels = [int(source.splits[name].labels[index]) for name, index in originals]
    splits = {**source.splits, PLANTED: from_encoded(copies, names, labels)}
    start, started = time.perf_counter(), time.process_time()
    found = audit(Source(source.name, source.class_names, splits), progress_bar)
    seconds, busy = time.perf_counter() - start, time.process_time() - started
    if args.report:
        write_audit(found, args.report)

    def original(photo: Photo) -> Place:
        copied = photo.split == PLANTED
        return originals[photo.index] if copied else (photo.split, photo.index)

    own: list[tuple[Place, Place, Pair]] = []
    with_copy: list[tuple[Place, Place, Pair]] = []
    for pair in found.pairs:
        planted = PLANTED in (pair.first.split, pair.second.split)
        (with_copy if planted else own).append((original(pair.first), original(pair.second), pair))
    true = {frozenset((one, other)) for one, other, _ in own}
    hits = {pair.second.index for one, other, pair in with_copy if one == other}
    false = [
        pair
        for one, other, pair in with_copy
        if one != other and frozenset((one, other)) not in true
    ]
    planted_of, found_of = Counter(kinds), Counter(kinds[index] for index in hits)
    result = {
        "photos": len(found.photos),
        "planted": args.copies,
        "recall": len(hits) / args.copies,
        "recall_by_kind": {kind: found_of[kind] / count for kind, count in planted_of.items()},
        "pairs_with_copies": len(with_copy),
        "false_pairs": len(false),
        "pairs_in_the_data": len(own),
        "seconds": round(seconds, 1),
        "processor_seconds": round(busy, 1),
    }
    for pair in false:
        print(f"false: {pair.first.name}, {pair.second.name}: {pair.similarity:.3f}")
    for key, value in result.items():
        print(f"{key}: {value}")
    if args.json:
        command_line.print_json(result)


def _saved(image: np.ndarray, quality: int = SAVED) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    return cv2.imencode(".jpg", image[..., ::-1], options)[1].tobytes()


def _encoded(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return decode.decode(_saved(image, int(rng.integers(20, 60))), 3)


def _resized(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    scale = rng.uniform(0.3, 0.8)
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def _cropped(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    kept = rng.choice([(0.9, 0.9), (0.9**0.5, 0.9**0.5), (0.9, 1), (1, 0.9)])
    height, width = (round(share * side) for share, side in zip(kept, image.shape, strict=False))
    top, left = (
        rng.integers(side - rest + 1)
        for side, rest in zip(image.shape, (height, width), strict=False)
    )
    return image[top : top + height, left : left + width]


def _brightened(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.5:
        return cv2.convertScaleAbs(image, alpha=rng.uniform(1.2, 1.5))
    return cv2.convertScaleAbs(image, beta=rng.uniform(20, 60))


CHANGES: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "encoded": _encoded,
    "resized": _resized,
    "cropped": _cropped,
    "brightened": _brightened,
}

if __name__ == "__main__":
    sys.exit(command_line.run(main))

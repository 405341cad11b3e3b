"""Mean and standard deviation of each channel of a split, computed once."""

import json
import logging

import numpy as np
from etils import epath
from tqdm import tqdm

from efficientnet.paths import cache_directory, write_whole
from input_pipeline.cache import VERSION
from input_pipeline.loader import Loader
from input_pipeline.sources.split import Split, stamp_of

log = logging.getLogger(__name__)

Statistics = tuple[tuple[float, ...], tuple[float, ...]]


def statistics(
    split: Split, *, resolution: int, channels: int = 3, broken_limit: int = 0
) -> Statistics:
    """Returns mean and standard deviation of each channel over all photos, resized to a square.

    Returns:
      Two tuples on the scale 0..1.

    Raises:
      UserError: more than `broken_limit` photos can't be read.
    """
    count = 0
    total = np.zeros([channels])
    squares = np.zeros([channels])
    loader = Loader(
        split,
        batch_size=32,
        resolution=resolution,
        channels=channels,
        broken_limit=broken_limit,
    )
    with tqdm(total=len(split), desc="statistics", unit=" photos", mininterval=1.0) as line:
        for batch in loader.evaluate(split):
            images = batch["image"][batch["mask"]].astype(np.float64) / 255
            total += images.sum((0, 1, 2))
            squares += np.square(images).sum((0, 1, 2))
            count += len(images)
            line.update(len(images))
    mean = total / (count * resolution**2)
    deviation = np.sqrt(squares / (count * resolution**2) - np.square(mean))
    return tuple(mean.tolist()), tuple(deviation.tolist())


def cached_statistics(
    split: Split, *, resolution: int, channels: int = 3, broken_limit: int = 0
) -> Statistics:
    """Returns the same, from the cache directory if they have been computed before."""
    key = stamp_of(VERSION, split.fingerprint(), f"{resolution} {channels}")
    path = epath.Path(cache_directory()) / "statistics" / f"{key}.json"
    if path.exists():
        known = json.loads(path.read_text())
        return tuple(known["mean"]), tuple(known["std"])
    mean, std = statistics(
        split, resolution=resolution, channels=channels, broken_limit=broken_limit
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, (json.dumps({"mean": mean, "std": std}) + "\n").encode())
    return mean, std

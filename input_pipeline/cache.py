"""A cache of decoded photos in memory or on disk, for data sets that fit."""

import contextlib
import dataclasses
import logging
import math
import pathlib
import shutil
import time
from collections.abc import Iterator

import numpy as np
import psutil
from tqdm import tqdm

from efficientnet.errors import UserError
from efficientnet.locks import lock
from input_pipeline.loader import Loader
from input_pipeline.sources.split import Split, stamp_of

log = logging.getLogger(__name__)

# What must stay free: memory for everything else, or disk space for checkpoints.
SPARE_BYTES = 500e6
WAIT_SECONDS = 0.2  # between looks at whether another process has written the cache
# Increased when photos are decoded to other pixels than before.
VERSION = "5"


def decoded(
    split: Split,
    resolution: int,
    channels: int,
    place: str,
    broken_limit: int = 0,
    preprocess: str = "resize",
) -> Split:
    """Decodes a split once, with each photo resized to a square, and logs its size beforehand.

    Augmentations are then applied to the square: the aspect ratio of a crop refers to the square,
    not to the photo, and there is no more detail than `resolution` gives.

    Args:
      split: what to decode.
      resolution: pixels per side of the squares; somewhat more than the network's.
      channels: 3, or 1 for gray.
      place: 'memory', or a folder for the file. The file is written completely or not at all; its
        name depends on the examples and these arguments, and later calls with the same read it.
      broken_limit: how many unreadable photos may be left out of the split.
      preprocess: makes the squares, see `spec.parse`: 'resize' squeezes, 'pad' does not.

    Raises:
      UserError: it does not fit, the folder can't be written, or too many photos can't be read.
    """
    shape = (len(split), resolution, resolution, channels)
    if place == "memory":
        _announce(math.prod(shape), "memory", free_memory())
        photos: np.ndarray = np.empty(shape, np.uint8)
        readable = _fill(photos, split, preprocess)
    else:
        folder = pathlib.Path(place).expanduser()
        photos, readable = _on_disk(folder, shape, split, preprocess)
    broken = np.flatnonzero(~readable).tolist()
    if len(broken) > broken_limit:
        more = f", nor are {len(broken) - 1} others" if len(broken) > 1 else ""
        raise UserError(
            f"{split.names[broken[0]]} is not a readable photo{more}, and the limit is "
            f"{broken_limit}: mend or remove what can't be read, or raise "
            "config.data.broken_limit"
        )
    # The rows of unreadable photos stay empty and are never read.
    whole = dataclasses.replace(split, read=lambda index: photos[index])
    return whole if readable.all() else whole.take(np.flatnonzero(readable))


def _on_disk(
    folder: pathlib.Path, shape: tuple[int, ...], split: Split, preprocess: str
) -> tuple[np.ndarray, np.ndarray]:
    """Maps the file of photos, after writing it if needed; also returns which are readable."""
    settings = [str(shape)] + [preprocess] * (preprocess != "resize")
    path = folder / f"{stamp_of(VERSION, split.fingerprint(), *settings)}.npy"
    try:
        with _alone(path):
            if not path.exists():
                _announce(math.prod(shape), str(path), shutil.disk_usage(folder).free)
                _write(path, shape, split, preprocess)
        photos = np.load(path, mmap_mode="r")
        readable = np.load(_table(path))
    except UserError:
        raise
    except (OSError, ValueError) as error:
        raise UserError(
            f"the cache of photos in {folder} can't be used ({error}): take another "
            "config.data.cache_directory, or remove the folder"
        ) from error
    return photos, readable


def _announce(size: int, where: str, free: float) -> None:
    log.info("the decoded photos take %.0f MB of %s", size / 1e6, where)
    if size + SPARE_BYTES > free:
        raise UserError(
            f"the decoded photos take {size / 1e6:.0f} MB of {where}, and {free / 1e6:.0f} MB are "
            f"free, of which {SPARE_BYTES / 1e6:.0f} MB must stay free: choose a smaller "
            "config.data.cache_resolution, or no cache"
        )


def free_memory() -> float:
    """Returns the bytes of memory that are available without swapping."""
    return float(psutil.virtual_memory().available)


def _fill(photos: np.ndarray, split: Split, preprocess: str) -> np.ndarray:
    """Decodes all photos into `photos`; returns which are readable, bool [n]."""
    readable = np.zeros(len(split), bool)
    _, resolution, _, channels = photos.shape
    loader = Loader(
        split,
        batch_size=min(32, len(split)),
        resolution=resolution,
        channels=channels,
        preprocess=preprocess,
        broken_limit=len(split),  # to name all of them
    )
    with tqdm(total=len(split), desc="decoding", unit=" photos", mininterval=1.0) as line:
        for batch in loader.evaluate(split):
            good = batch["mask"]
            photos[batch["index"][good]] = batch["image"][good]
            readable[batch["index"][good]] = True
            line.update(int(good.sum()))
    return readable


def _table(path: pathlib.Path) -> pathlib.Path:
    """The path of the file that tells which photos are readable."""
    return path.with_suffix(".readable.npy")


@contextlib.contextmanager
def _alone(path: pathlib.Path) -> Iterator[None]:
    """Keeps other processes from writing the same cache; the lock is released with the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as file:
        if not lock(file):
            log.info("waiting for the process that is writing %s", path)
            while not lock(file):
                time.sleep(WAIT_SECONDS)
        yield


def _write(path: pathlib.Path, shape: tuple[int, ...], split: Split, preprocess: str) -> None:
    # A process killed here leaves a part file, which the next one overwrites.
    part = path.with_suffix(".part")
    photos = np.lib.format.open_memmap(part, "w+", np.uint8, shape)
    try:
        readable = _fill(photos, split, preprocess)
        photos.flush()
    except BaseException:
        part.unlink()
        raise
    with _table(path).open("wb") as file:
        np.save(file, readable)
    del photos  # Windows renames no file that is mapped
    part.replace(path)

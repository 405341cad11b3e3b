"""Records: a data set prepared once into few large files.

    index.json                            name, class names, how many photos each split began with
    train-00000-of-00009.bin              encoded photos end to end
    train-00000-of-00009.json             label, name and length of each

Written by input_pipeline/records.py; a shard is there whole or not at all, so that a preparation
that was stopped goes on where it was.
"""

import json
import os
from collections.abc import Callable
from typing import cast

import numpy as np
from etils import epath

from efficientnet.errors import UserError
from efficientnet.paths import bytes_of, is_in_bucket
from input_pipeline.sources.split import Source, Split, stamp_of

INDEX = "index.json"
PER_SHARD = 1000
SPLITS = ("train", "validation", "test")


def load(directory: epath.Path) -> Source:
    """Opens records.

    Raises:
      UserError: the preparation is not finished, or a file is missing or cut off.
    """
    try:
        index = json.loads((directory / INDEX).read_text("utf-8"))
        name, class_names, sizes = index["name"], index["class_names"], index["splits"]
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(
            f"no readable {INDEX} in {directory}: let scripts/prepare_data.py write it to the end"
        ) from None
    for split in sizes:
        if split not in SPLITS:
            raise UserError(
                f"{directory / INDEX} has a split {split!r}, expected {', '.join(SPLITS)}"
            )
    splits = {split: _open(directory, split, size) for split, size in sizes.items()}
    return Source(name, tuple(class_names), splits)


def _open(directory: epath.Path, split: str, size: int) -> Split:
    labels: list[int] = []
    names: list[str] = []
    shards: list[Callable[[int, int], bytes]] = []
    places = [np.zeros([0, 3], np.int64)]  # shard, start and length
    for number, path in enumerate(shard_paths(directory, split, size)):
        try:
            rows = json.loads(path.with_suffix(".json").read_text("utf-8"))["rows"]
            shards.append(_reader(path))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} can't be read: prepare the records again ({error})") from None
        lengths = np.array([length for _, _, length in rows], np.int64)
        if bytes_of(path) != lengths.sum():
            raise UserError(f"{path} is cut off or changed: prepare the records again")
        labels.extend(label for label, _, _ in rows)
        names.extend(name for _, name, _ in rows)
        starts = np.cumsum(lengths) - lengths
        places.append(np.stack([np.full_like(lengths, number), starts, lengths], 1))
    table = np.concatenate(places)

    def read(index: int) -> bytes:
        shard, start, length = table[index].tolist()
        return shards[shard](start, length)

    stamp = stamp_of(table.tobytes())
    return Split(np.asarray(labels, np.int32), names, read, stamp)


def _reader(path: epath.Path) -> Callable[[int, int], bytes]:
    """A function of start and length that any thread may call."""
    if is_in_bucket(path):

        def read(start: int, length: int) -> bytes:
            with path.open("rb") as file:
                file.seek(start)
                return cast(bytes, file.read(length))
    else:
        opened = os.open(path, os.O_RDONLY)

        def read(start: int, length: int) -> bytes:
            return os.pread(opened, length, start)

    return read


def shard_paths(directory: epath.Path, split: str, size: int) -> list[epath.Path]:
    """The files of a split that was given `size` photos."""
    count = max(1, -(-size // PER_SHARD))
    return [directory / f"{split}-{number:05d}-of-{count:05d}.bin" for number in range(count)]

"""Records: a data set prepared once as a few large files.

    index.json                            name, class names, number of original photos per split
    train-00000-of-00009.bin              concatenated encoded photos
    train-00000-of-00009.json             label, name, length and perhaps group of each; its origin

They are written by input_pipeline/record_writer.py. A shard is written completely or not at all, so
that an interrupted preparation can be resumed.
"""

import itertools
import json

import numpy as np
from etils import epath

from efficientnet.errors import UserError
from efficientnet.paths import bytes_of, is_in_bucket
from input_pipeline.sources.split import (
    Source,
    Split,
    file_stamp,
    joined,
    read_ends,
    read_file,
    stamp_of,
)
from input_pipeline.sources.splitting import SPLITS

INDEX = "index.json"
PER_SHARD = 1000


def load(directory: epath.Path) -> Source:
    """Opens records.

    Raises:
      UserError: the preparation is not finished, or a file is missing or truncated.
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
    splits = {
        split: joined([_shard(path) for path in shard_paths(directory, split, size)])
        for split, size in sizes.items()
    }
    return Source(name, tuple(class_names), splits)


def _shard(path: epath.Path) -> Split:
    try:
        table = path.with_suffix(".json").read_text("utf-8")
        rows = json.loads(table)["rows"]
        found = bytes_of(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} can't be read: prepare the records again ({error})") from None
    lengths = [length for _, _, length, *_ in rows]
    starts = [0, *itertools.accumulate(lengths)]
    if found != starts[-1]:
        raise UserError(f"{path} is cut off or changed: prepare the records again")
    # In a bucket, the table shows that the shard was written again.
    stamp = stamp_of(file_stamp(str(path)), table)
    # The writer has decoded them all, and in a bucket each look would be two requests.
    far = is_in_bucket(path)

    def place(index: int) -> tuple[str, int, int]:
        return str(path), starts[index], lengths[index]

    return Split(
        labels=np.array([label for label, *_ in rows], np.int32),
        names=[name for _, name, *_ in rows],
        read=lambda index: read_file(*place(index)),
        stamps=[f"{stamp} {start}" for start in starts[:-1]],
        groups=[group for _, _, _, *groups in rows for group in groups],
        read_ends=lambda index: None if far else read_ends(*place(index)),
    )


def shard_paths(directory: epath.Path, split: str, size: int) -> list[epath.Path]:
    """Returns the files of a split with `size` original photos."""
    count = max(1, -(-size // PER_SHARD))
    return [directory / f"{split}-{number:05d}-of-{count:05d}.bin" for number in range(count)]

"""What W&B keeps of a run on the disk: a log in blocks, as LevelDB's, of encoded records."""

import json
import pathlib
import struct
from collections.abc import Iterator
from typing import Any

BLOCK, FILE_HEADER, HEADER = 32768, 7, 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def contents(path: pathlib.Path) -> Iterator[bytes]:
    """The content of each record; what was cut off by a kill ends the file."""
    data, place, parts = path.read_bytes(), FILE_HEADER, b""
    while place + HEADER <= len(data):
        if BLOCK - place % BLOCK < HEADER:  # too little room for a header
            place += BLOCK - place % BLOCK
            continue
        _, size, kind = struct.unpack_from("<IHB", data, place)
        part = data[place + HEADER : place + HEADER + size]
        if len(part) < size or not kind:
            return
        parts = part if kind in (FULL, FIRST) else parts + part
        if kind in (FULL, LAST):
            yield parts
        place += HEADER + size


def rows(path: pathlib.Path) -> list[dict[str, Any]]:
    """The rows of metrics, in order."""
    from wandb.proto import wandb_internal_pb2

    found = []
    for content in contents(path):
        record = wandb_internal_pb2.Record.FromString(content)
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            found.append(
                {
                    item.key or ".".join(item.nested_key): json.loads(item.value_json)
                    for item in items
                }
            )
    return found

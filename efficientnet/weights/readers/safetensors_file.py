"""Reads and writes safetensors (a JSON header and raw arrays) as memory maps.

The format has no checksum. Our own files carry one in their metadata: SHA-256 over everything that
means something in the file, so that a flipped bit anywhere is an error.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import ml_dtypes
import numpy as np
from etils import epath

from efficientnet.errors import UserError
from efficientnet.paths import written_whole
from efficientnet.weights.checkpoint import Checkpoint, Tensor, map_file

LENGTH_BYTES = 8
MAX_HEADER_BYTES = 100_000_000  # the format's own limit
DIGEST = "digest"
FORMAT = "safetensors"
DTYPES: dict[str, Any] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


def is_safetensors(start: bytes) -> bool:
    """Whether a file that begins with these bytes looks like one."""
    return len(start) > LENGTH_BYTES and start[LENGTH_BYTES : LENGTH_BYTES + 1] == b"{"


def read(path: epath.Path) -> Checkpoint:
    """Opens a file; its tensors are views of the map. Our own digest, if there, is checked.

    Raises:
      UserError: the digest is another.
      ValueError: the header is malformed, or the tensors don't fill the file exactly.
    """
    data = map_file(path)
    length = int.from_bytes(data[:LENGTH_BYTES], "little")
    start = LENGTH_BYTES + length
    if length > min(MAX_HEADER_BYTES, len(data) - LENGTH_BYTES):
        raise ValueError("the header is cut off")
    header = json.loads(data[LENGTH_BYTES:start].decode("utf-8"), object_pairs_hook=_unique)
    metadata = header.pop("__metadata__", {})
    if not all(isinstance(text, str) for text in metadata.values()):
        raise ValueError("metadata that is not text")

    arrays = {}
    position = 0
    for name, (begin, end), dtype, shape in sorted(_places(header), key=lambda place: place[1]):
        count = math.prod(shape)
        if begin != position or end - begin != count * dtype.itemsize:
            raise ValueError(f"{name} is not where its shape says")
        if end > len(data) - start:
            raise ValueError(f"{name} is cut off")
        arrays[name] = np.frombuffer(data, dtype, count, start + begin).reshape(shape)
        position = end
    if start + position != len(data):
        raise ValueError(f"{len(data) - start - position} bytes after the last tensor")

    if DIGEST in metadata and metadata[DIGEST] != _digest(metadata, arrays):
        raise UserError(f"{path} is damaged: it doesn't have its own SHA-256; write it again")
    tensors = {name: _tensor(array) for name, array in arrays.items()}
    return Checkpoint(path, FORMAT, tensors, metadata, checksummed=DIGEST in metadata)


def write(path: epath.Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Writes float32 tensors and a digest; the file appears at `path` whole or not at all.

    One tensor at a time is in memory in its final order.
    """
    header: dict[str, Any] = {
        "__metadata__": {**metadata, DIGEST: _digest(metadata, tensors)},
    }
    position = 0
    for name in sorted(tensors):
        size = 4 * tensors[name].size
        header[name] = {
            "dtype": "F32",
            "shape": list(tensors[name].shape),
            "data_offsets": [position, position + size],
        }
        position += size
    text = json.dumps(header, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % LENGTH_BYTES)
    with written_whole(path) as part:
        with part.open("wb") as file:
            file.write(len(text).to_bytes(LENGTH_BYTES, "little") + text)
            for name in sorted(tensors):
                file.write(np.asarray(tensors[name], "<f4").tobytes())
        read(part)  # checks the digest, so nothing unfinished or unreadable gets the name


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name twice in the header")
    return dict(pairs)


def _places(
    header: dict[str, Any],
) -> Iterator[tuple[str, tuple[int, int], np.dtype, tuple[int, ...]]]:
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        shape = tuple(entry["shape"])
        if not all(type(number) is int and number >= 0 for number in (begin, end, *shape)):
            raise ValueError(f"{name} has a shape or place that is not a natural number")
        yield name, (begin, end), np.dtype(DTYPES[entry["dtype"]]), shape


def _tensor(array: np.ndarray) -> Tensor:
    return Tensor(array.shape, lambda: array)


def _digest(metadata: Mapping[str, str], tensors: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of the metadata and of every tensor's name, type, shape and bytes."""
    digest = hashlib.sha256()
    texts = {key: text for key, text in metadata.items() if key != DIGEST}
    digest.update(json.dumps(texts, sort_keys=True).encode("utf-8"))
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name], tensors[name].dtype.newbyteorder("<"))
        description = [name, str(array.dtype), list(array.shape)]
        digest.update(json.dumps(description).encode("utf-8"))
        digest.update(array.data.cast("B") if array.size else b"")
    return "sha256:" + digest.hexdigest()

"""Reads safetensors with their library, and writes our own files in that format.

The format has no checksum. Our own files carry one in their metadata: SHA-256 over everything that
means something in the file, so that a flipped bit anywhere is an error.
"""

import functools
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath
from safetensors import safe_open

from efficientnet.errors import UserError
from efficientnet.paths import written_whole
from efficientnet.weights.readers.checkpoint import Checkpoint, Tensor, on_disk

LENGTH_BYTES = 8
DIGEST = "digest"
FORMAT = "safetensors"


def is_safetensors(start: bytes) -> bool:
    """Whether a file that begins with these bytes looks like one."""
    return len(start) > LENGTH_BYTES and start[LENGTH_BYTES : LENGTH_BYTES + 1] == b"{"


def read(path: epath.Path) -> Checkpoint:
    """Opens a file; a tensor is read when it is asked for. Our own digest, if there, is checked.

    Raises:
      UserError: the digest is another.
      safetensors.SafetensorError: the header is malformed, or the tensors don't fill the file.
    """
    with on_disk(path) as local:
        file = safe_open(local, framework="numpy")
    metadata, names = file.metadata() or {}, file.keys()
    tensors = {
        name: Tensor(
            tuple(file.get_slice(name).get_shape()), functools.partial(file.get_tensor, name)
        )
        for name in names
    }
    if DIGEST in metadata:
        arrays = {name: tensor.read() for name, tensor in tensors.items()}
        if metadata[DIGEST] != _digest(metadata, arrays):
            raise UserError(f"{path} is damaged: it doesn't match its own SHA-256; write it again")
        tensors = {
            name: Tensor(array.shape, functools.partial(arrays.__getitem__, name))
            for name, array in arrays.items()
        }
    return Checkpoint(path, FORMAT, tensors, metadata, checksummed=DIGEST in metadata)


def write(path: epath.Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Writes float32 tensors and a digest; the file appears at `path` whole or not at all.

    The library would write the metadata in random order; this writes the same bytes each time.
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

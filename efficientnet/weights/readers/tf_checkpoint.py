"""TensorFlow's reader aborts on a hostile index, so this reads its V2 checkpoints by itself.

A negative dimension or an unknown dtype in the index ends a process that uses TensorFlow 2.21's
reader (SIGABRT), and a shape of terabytes is allocated. Here tensors are views of a memory map.

The index is a LevelDB table (blocks of sorted keys, each block with its CRC-32C) from a tensor's
name to a protocol buffer with its type, shape, place in the data files and CRC-32C
(tensorflow/core/protobuf/tensor_bundle.proto). Everything that is used is checked. Only the table's
footer has no checksum, but what it points to must lie in the file and have its own.
"""

import mmap
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import google_crc32c
import ml_dtypes
import numpy as np
from etils import epath

from efficientnet.errors import UserError
from efficientnet.weights.readers.checkpoint import Checkpoint, Tensor

# What there is to read, by path relative to the checkpoint's folder or archive.
Files = Mapping[str, Callable[[], mmap.mmap]]

LATEST = "checkpoint"  # the file that names the latest of several
FOOTER_BYTES = 48
TABLE_MAGIC = 0xDB4775248B80FB57
BLOCK_TRAILER_BYTES = 5  # one byte of compression type, four of CRC
# Numbers of tensorflow/core/framework/types.proto.
DTYPES: dict[int, Any] = {
    1: np.float32,
    2: np.float64,
    3: np.int32,
    9: np.int64,
    14: ml_dtypes.bfloat16,
    19: np.float16,
}


def find_prefix(files: Files, folder: str) -> str | None:
    """Finds the checkpoint among files: a prefix stands for `PREFIX.index` and its data.

    Args:
      files: everything in a folder and below.
      folder: its name, for the error.

    Returns:
      The prefix, or None if there is none.

    Raises:
      UserError: several, and no file `checkpoint` that names one of them.
    """
    prefixes = sorted(name.removesuffix(".index") for name in files if name.endswith(".index"))
    if len(prefixes) <= 1:
        return prefixes[0] if prefixes else None
    if LATEST in files:
        first = files[LATEST]()[:].decode("utf-8", errors="replace").partition("\n")[0]
        name = first.partition(":")[2].strip(' "')
        # The path may be one of the machine that wrote it: only its last name counts.
        last = pathlib.PurePosixPath(name).name
        named = [prefix for prefix in prefixes if pathlib.PurePosixPath(prefix).name == last]
        if len(named) == 1:
            return named[0]
    raise UserError(f"{folder} has several checkpoints ({', '.join(prefixes)}): name one of them")


def prefix_of(path: epath.Path) -> epath.Path | None:
    """The prefix that is meant by a prefix itself, its index or a data file, if it is there."""
    if path.suffix == ".index" or path.suffix.startswith(".data-"):
        path = path.with_suffix("")
    return path if path.with_name(path.name + ".index").is_file() else None


def read(path: epath.Path, prefix: str, files: Files) -> Checkpoint:
    """Opens a checkpoint; its tensors stay in the data files until they are read.

    Args:
      path: what the checkpoint is called.
      prefix: of its files' names.
      files: of which these are some.
    """
    table = dict(_table(files[f"{prefix}.index"]()))
    header = _fields(table.pop(b""))
    shards = _integer(header, 1)
    if _integer(header, 2) != 0:
        raise UserError(f"{path} was written on a big-endian machine: save it on another one")
    if not 0 < shards <= len(table) + 1:
        raise ValueError(f"{shards} data files for {len(table)} tensors")
    data = []
    for shard in range(shards):
        name = f"{prefix}.data-{shard:05d}-of-{shards:05d}"
        if name not in files:
            raise UserError(f"{path} has {prefix}.index but not {name}: fetch it too")
        data.append(files[name]())
    entries = {key.decode("utf-8"): _fields(value) for key, value in table.items()}
    tensors = {name: _tensor(name, fields, data) for name, fields in entries.items()}
    return Checkpoint(path, "TF1 checkpoint", tensors, checksummed=True)


def _tensor(name: str, fields: dict[int, list[Any]], data: list[mmap.mmap]) -> Tensor:
    """A tensor in the data files, from the fields of its BundleEntryProto."""
    if 7 in fields:
        raise ValueError("a tensor in slices")
    kind, shard, offset, size, checksum = (_integer(fields, number) for number in (1, 3, 4, 5, 6))
    dimensions = _fields(fields.get(2, [b""])[-1]).get(2, [])
    shape = tuple(_integer(_fields(dimension), 1) for dimension in dimensions)

    def read() -> np.ndarray:
        dtype = np.dtype(DTYPES[kind])
        view = memoryview(data[shard])[offset : offset + size]
        if len(view) != size:
            raise ValueError(f"{name} is cut off")
        if _masked_crc(view) != checksum:
            raise ValueError(f"{name} doesn't match its checksum")
        return np.frombuffer(view, dtype.newbyteorder("<")).reshape(shape)

    return Tensor(shape, read)


def _table(data: mmap.mmap) -> Iterator[tuple[bytes, bytes]]:
    """All keys and values of a LevelDB table."""
    footer = data[-FOOTER_BYTES:]
    if len(footer) < FOOTER_BYTES or int.from_bytes(footer[-8:], "little") != TABLE_MAGIC:
        raise ValueError("the index has no footer")
    position = 0
    for _ in range(2):  # skip the handle of the meta index
        _, position = _varint(footer, position)
    for _, handle in _block(data, footer[position:]):
        yield from _block(data, handle)


def _block(data: mmap.mmap, handle: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of the block at a handle; a key shares a prefix with the one before it."""
    offset, position = _varint(handle, 0)
    size, _ = _varint(handle, position)
    block = data[offset : offset + size + BLOCK_TRAILER_BYTES]
    if len(block) != size + BLOCK_TRAILER_BYTES:
        raise ValueError("a block of the index is cut off")
    if _masked_crc(block[:-4]) != int.from_bytes(block[-4:], "little"):
        raise ValueError("a block of the index doesn't match its checksum")
    if block[size] != 0:
        raise ValueError("a block of the index is compressed")
    restarts = int.from_bytes(block[size - 4 : size], "little")
    end = size - 4 * (restarts + 1)
    key, position = b"", 0
    while position < end:
        shared, position = _varint(block, position)
        unshared, position = _varint(block, position)
        length, position = _varint(block, position)
        key = key[:shared] + block[position : position + unshared]
        position += unshared
        yield key, block[position : position + length]
        position += length


def _masked_crc(data: bytes | memoryview) -> int:
    """The CRC-32C of the data, in the form in which LevelDB and TensorFlow store it."""
    checksum = google_crc32c.value(np.frombuffer(data, np.uint8))
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """An integer in groups of seven bits, lowest first, and the position behind it."""
    value = 0
    for count in range(10):
        byte = data[position + count]
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value, position + count + 1
    raise ValueError("a number of more than ten bytes")


def _fields(message: bytes) -> dict[int, list[Any]]:
    """The fields of a protocol buffer by number: integers, and bytes not looked into."""
    fields: dict[int, list[Any]] = {}
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        value: int | bytes
        match tag & 7:
            case 0:
                value, position = _varint(message, position)
            case 1 | 5 as wire:
                width = 8 if wire == 1 else 4
                value = int.from_bytes(message[position : position + width], "little")
                position += width
            case 2:
                length, position = _varint(message, position)
                value = message[position : position + length]
                position += length
            case wire:
                raise ValueError(f"a protocol buffer with wire type {wire}")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _integer(fields: dict[int, list[Any]], number: int) -> int:
    value = fields.get(number, [0])[-1]
    if not isinstance(value, int):
        raise ValueError("a protocol buffer with another type than expected")
    return value

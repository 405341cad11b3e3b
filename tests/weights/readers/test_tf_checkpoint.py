"""Hostile indexes with right checksums, on which TensorFlow's own reader aborts or allocates."""

import google_crc32c
import numpy as np
import pytest
from etils import epath

from efficientnet.errors import UserError
from efficientnet.weights.readers.checkpoint import reading
from efficientnet.weights.readers.formats import open_checkpoint

VALUES = np.arange(3, dtype=np.float32)
MAGIC = 0xDB4775248B80FB57


def crc(data: bytes) -> bytes:
    checksum = google_crc32c.value(data)
    masked = ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return masked.to_bytes(4, "little")


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    groups = []
    while number >= 0x80:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def block(items: list[tuple[bytes, bytes]]) -> bytes:
    content = b"".join(
        varint(0) + varint(len(key)) + varint(len(value)) + key + value for key, value in items
    )
    content += (0).to_bytes(4, "little") + (1).to_bytes(4, "little") + b"\0"  # restarts, no packing
    return content + crc(content)


def write(folder, dtype=1, dims=(3,), shard=0, offset=0, size=12, shards=1) -> epath.Path:
    """A checkpoint of one tensor `a`, as the arguments have it."""
    shape = b"".join(field(2, field(1, size)) for size in dims)
    entry = field(1, dtype) + field(2, shape) + field(3, shard) + field(4, offset) + field(5, size)
    entry += varint(6 << 3 | 5) + crc(VALUES.tobytes())
    header = field(1, shards) + field(2, 0) + field(3, field(1, 1))
    data = block([(b"", header), (b"a", entry)])
    index = block([(b"b", varint(0) + varint(len(data) - 5))])
    handles = varint(0) + varint(0) + varint(len(data)) + varint(len(index) - 5)
    footer = handles.ljust(40, b"\0") + MAGIC.to_bytes(8, "little")
    (folder / "x.index").write_bytes(data + index + footer)
    (folder / "x.data-00000-of-00001").write_bytes(VALUES.tobytes() + bytes(100))
    return epath.Path(folder / "x")


def values(path: epath.Path) -> np.ndarray:
    with reading(path):
        return open_checkpoint(path).tensors["a"].read()


def test_the_plain_one_is_read(tmp_path):
    np.testing.assert_array_equal(values(write(tmp_path)), VALUES)


@pytest.mark.parametrize(
    "hostile",
    [
        {"dims": (-3,)},
        {"dims": (1 << 40,)},
        {"dims": (1 << 40, 1 << 40)},
        {"dims": (1,) * 300},
        {"dims": (1 << 33,), "size": 4 << 33},
        {"size": 8},
        {"offset": 1 << 62},
        {"dtype": 0},
        {"dtype": 7},
        {"dtype": 99},
        {"shard": 7},
        {"shard": -1},
        {"shards": 1 << 30},
        {"shards": -1},
    ],
    ids=str,
)
def test_hostile_indexes_are_refused(hostile, tmp_path):
    with pytest.raises(UserError, match="x is damaged, incomplete, or"):
        values(write(tmp_path, **hostile))

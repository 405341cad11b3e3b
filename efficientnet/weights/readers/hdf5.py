"""h5py hangs in a string of a damaged file, so this reads what Keras writes by itself, from a map.

Of 3,000 damaged `.weights.h5` files, two kept h5py 3.14 (HDF5 1.14.6) in one attribute for more
than 40 seconds. After the "HDF5 File Format Specification" version 3.0, this reads only what h5py
writes by default: superblock 0, groups as symbol tables, datasets in one piece and not compressed,
strings as attributes. Anything else, and any structure that is reached twice, is an error.
"""

import struct
from collections.abc import Iterator

import numpy as np

from efficientnet.weights.readers.checkpoint import Tensor

SIGNATURE = b"\x89HDF\r\n\x1a\n"
ROOT_HEADER_ADDRESS = 64  # in superblock 0
# Kinds of messages in an object header.
DATASPACE = 1
DATATYPE = 3
LAYOUT = 8
FILTERS = 11
ATTRIBUTE = 12
CONTINUATION = 16
SYMBOL_TABLE = 17
INTEGER, FLOAT, VARIABLE_LENGTH = 0, 1, 9  # classes of datatype


def read(data: memoryview) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Walks through all groups of a file; datasets are looked at when they are read.

    Returns:
      The datasets by path; and by path of every group that has a string attribute `name`, that
      string.

    Raises:
      ValueError: it is cut off, damaged, or uses a feature that Keras doesn't use.
    """
    return _Reader(data).content()


class _Reader:
    """One walk through one file."""

    def __init__(self, data: memoryview):
        self._data = data
        self._seen: set[int] = set()

    def content(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        start = self._bytes(0, 72)
        if start[:8] != SIGNATURE or start[8] != 0 or tuple(start[13:15]) != (8, 8):
            raise ValueError("not an HDF5 file as Keras writes it: save it again with Keras")
        base, _, end = struct.unpack_from("<3Q", start, 24)
        if base != 0 or end != len(self._data):
            raise ValueError(f"the file should have {end} bytes and has {len(self._data)}")
        (root,) = struct.unpack_from("<Q", start, ROOT_HEADER_ADDRESS)

        tensors: dict[str, Tensor] = {}
        names: dict[str, str] = {}
        waiting = [("", root)]
        while waiting:
            path, address = waiting.pop()
            messages = list(self._messages(address))
            kinds = dict(messages)
            if SYMBOL_TABLE in kinds:
                tree, heap = struct.unpack_from("<2Q", kinds[SYMBOL_TABLE])
                for child, child_address in self._children(tree, heap):
                    waiting.append((f"{path}/{child}" if path else child, child_address))
            elif DATASPACE in kinds:
                tensors[path] = self._tensor(path, kinds)
            for kind, body in messages:
                if kind == ATTRIBUTE:
                    name, text = self._attribute(body)
                    if name == "name" and text is not None:
                        names[path] = text
        return tensors, names

    def _bytes(self, address: int, size: int) -> bytes:
        piece = self._data[address : address + size].tobytes()
        if len(piece) != size:
            raise ValueError(f"{size} bytes at {address} reach beyond the end of the file")
        return piece

    def _enter(self, address: int) -> None:
        if address in self._seen:
            raise ValueError(f"the structure at {address} is reached twice")
        self._seen.add(address)

    def _messages(self, address: int) -> Iterator[tuple[int, bytes]]:
        """The messages of an object header of version 1, its continuations included."""
        self._enter(address)
        version, count, size = struct.unpack_from("<BxH4xI", self._bytes(address, 16))
        if version != 1:
            raise ValueError(f"an object header of version {version}")
        blocks = [(address + 16, size)]
        found = 0
        while blocks:
            start, size = blocks.pop(0)
            block = self._bytes(start, size)
            position = 0
            while position + 8 <= size and found < count:
                kind, length = struct.unpack_from("<2H", block, position)
                body = block[position + 8 : position + 8 + length]
                if len(body) != length:
                    raise ValueError("a header message is cut off")
                position += 8 + length
                found += 1
                if kind == CONTINUATION:
                    block_address, block_size = struct.unpack_from("<2Q", body)
                    self._enter(block_address)
                    blocks.append((block_address, block_size))
                else:
                    yield kind, body
        if found != count:
            raise ValueError(f"{found} header messages instead of {count}")

    def _children(self, tree: int, heap: int) -> Iterator[tuple[str, int]]:
        """Names and header addresses in a group: a B-tree of symbol nodes, names in a heap."""
        magic, size, names_address = struct.unpack_from("<4s4xQ8xQ", self._bytes(heap, 32))
        if magic != b"HEAP":
            raise ValueError("a group has no heap")
        names = self._bytes(names_address, size)
        nodes = [tree]
        while nodes:
            address = nodes.pop()
            self._enter(address)
            magic = self._bytes(address, 4)
            if magic == b"TREE":
                kind, _, count = struct.unpack_from("<2BH", self._bytes(address + 4, 4))
                if kind != 0:
                    raise ValueError("a group's tree is of another kind")
                entries = self._bytes(address + 24, 16 * count + 8)
                children = [struct.unpack_from("<Q", entries, 16 * i + 8)[0] for i in range(count)]
                nodes += reversed(children)
            elif magic == b"SNOD":
                (count,) = struct.unpack_from("<H", self._bytes(address + 6, 2))
                entries = self._bytes(address + 8, 40 * count)
                for i in range(count):
                    name_offset, header, cache = struct.unpack_from("<2QI", entries, 40 * i)
                    if cache > 1:
                        raise ValueError("a group with a symbolic link")
                    yield _text(names, name_offset), header
            else:
                raise ValueError("a group has neither tree nor symbols")

    def _tensor(self, path: str, kinds: dict[int, bytes]) -> Tensor:
        shape = _shape(kinds[DATASPACE])

        def read() -> np.ndarray:
            if FILTERS in kinds:
                raise ValueError(f"{path} is compressed: save it again with Keras")
            dtype = _dtype(kinds[DATATYPE])
            version, layout, address, size = struct.unpack_from("<2B2Q", kinds[LAYOUT])
            if (version, layout) != (3, 1):
                raise ValueError(f"{path} is in pieces: save it again with Keras")
            view = self._data[address : address + size]
            if len(view) != size:
                raise ValueError(f"{path} is cut off")
            return np.frombuffer(view, dtype).reshape(shape)

        return Tensor(shape, read)

    def _attribute(self, body: bytes) -> tuple[str, str | None]:
        """An attribute's name and, if it is one string of variable length, its text."""
        version, *sizes = struct.unpack_from("<Bx3H", body)
        position = 9 if version == 3 else 8
        parts = []
        for size in sizes:
            parts.append(body[position : position + size])
            position += (size + 7) // 8 * 8 if version == 1 else size
        name, datatype, dataspace = parts
        if datatype[0] & 15 != VARIABLE_LENGTH or _shape(dataspace) != ():
            return _text(name, 0), None
        length, heap, index = struct.unpack_from("<IQI", body, position)
        return _text(name, 0), self._heap_object(heap, index)[:length].decode("utf-8")

    def _heap_object(self, heap: int, index: int) -> bytes:
        """An object of a global heap, which many attributes may share."""
        magic, size = struct.unpack_from("<4s4xQ", self._bytes(heap, 16))
        if magic != b"GCOL":
            raise ValueError("a string has no heap")
        collection = self._bytes(heap, size)
        position = 16
        while position + 16 <= size:
            number, length = struct.unpack_from("<H6xQ", collection, position)
            if number == index:
                return collection[position + 16 : position + 16 + length]
            position += 16 + (length + 7) // 8 * 8
        raise ValueError("a string is missing from its heap")


def _text(data: bytes, start: int) -> str:
    end = data.index(b"\0", start)
    return data[start:end].decode("utf-8")


def _shape(message: bytes) -> tuple[int, ...]:
    version, rank = message[0], message[1]
    if version not in (1, 2):
        raise ValueError(f"a dataspace of version {version}")
    return struct.unpack_from(f"<{rank}Q", message, 8 if version == 1 else 4)


def _dtype(message: bytes) -> np.dtype:
    kind, flags, size = message[0] & 15, message[1], int.from_bytes(message[4:8], "little")
    if kind not in (INTEGER, FLOAT) or flags & 1:
        raise ValueError("values that are no little-endian numbers")
    if kind == FLOAT:
        return np.dtype(f"<f{size}")
    return np.dtype(f"<i{size}" if flags & 8 else f"<u{size}")


def is_hdf5(start: bytes) -> bool:
    """Whether a file that begins with these bytes is HDF5."""
    return start.startswith(SIGNATURE)

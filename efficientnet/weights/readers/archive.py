"""Unpacks a .tar.gz from the network or anywhere else into memory, never onto a disk."""

import gzip
import mmap
import pathlib
import tarfile
from typing import BinaryIO, cast

from etils import epath

from efficientnet.errors import UserError
from efficientnet.weights.checkpoint import in_memory

# Floating-point numbers hardly get smaller; what gets much smaller is made to fill the memory.
MAX_RATIO = 32
READ_BYTES = 1 << 20


def unpack(path: epath.Path) -> dict[str, mmap.mmap]:
    """Returns the content of every file in an archive, by name.

    Every member is checked before it is read, and the archive's own checksum at the end.

    Raises:
      UserError: a member would leave its folder, or is a link or a device, or there is too much.
      EOFError, OSError, tarfile.TarError: the archive is cut off or damaged.
    """
    contents = {}
    with path.open("rb") as file, gzip.GzipFile(fileobj=cast(BinaryIO, file)) as content:
        stream = _Limited(content, path)
        with tarfile.open(fileobj=cast(BinaryIO, stream), mode="r|", bufsize=READ_BYTES) as tar:
            for member in tar:
                _check(member, path)
                if member.isreg():
                    opened = cast(BinaryIO, tar.extractfile(member))
                    contents[member.name.removeprefix("./")] = in_memory(opened, member.size)
        while stream.read(READ_BYTES):  # the checksum comes last
            pass
    return contents


class _Limited:
    """A stream that refuses to unpack to many times the archive's size."""

    def __init__(self, stream: gzip.GzipFile, path: epath.Path) -> None:
        self._stream, self._path = stream, path
        self._unpacked = 0

    def read(self, size: int) -> bytes:
        """Returns at most `size` bytes."""
        data = self._stream.read(size)
        self._unpacked += len(data)
        packed = cast(BinaryIO, self._stream.fileobj).tell()
        if self._unpacked > READ_BYTES + MAX_RATIO * packed:
            raise UserError(f"{self._path} unpacks to over {MAX_RATIO} times its size: refused")
        return data


def _check(member: tarfile.TarInfo, path: epath.Path) -> None:
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE):
        raise UserError(f"{path} has the member {member.name!r}, a link or device: refused")
    name = pathlib.PurePosixPath(member.name)
    unsafe = name.is_absolute() or ".." in name.parts or "\\" in member.name or ":" in member.name
    if unsafe:
        raise UserError(f"{path} has the member {member.name!r}, outside its folder: refused")

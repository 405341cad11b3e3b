"""Takes files out of .tar.gz and zip archives, in memory only and never onto a disk."""

import gzip
import mmap
import pathlib
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from typing import BinaryIO, cast

from etils import epath

from efficientnet.errors import UserError
from efficientnet.weights.readers.checkpoint import READ_BYTES, in_memory

# Weights hardly compress; an archive of a higher ratio is made to fill the memory.
MAX_RATIO = 32
ZIP_MAGIC = b"PK\x03\x04"
ZIP_HEADER_BYTES = 30


def unpack_tar(path: epath.Path) -> dict[str, mmap.mmap]:
    """Returns the content of every file in a .tar.gz, by name.

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
        raise UserError(
            f"{path} has the member {member.name!r}, no plain path below its folder: refused"
        )


def zip_members(path: epath.Path, data: mmap.mmap) -> dict[str, Callable[[], memoryview]]:
    """Returns, by name, functions that give a member's content without a copy.

    PyTorch and Keras store the members of their zip archives without compression.

    Args:
      path: the archive.
      data: the same file, mapped.

    Raises:
      ValueError: at once if a member is compressed or named twice; from a member's function if its
        content is cut off or doesn't match its CRC-32.
      zipfile.BadZipFile: the archive's directory is missing or damaged.
    """
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
    if len({info.filename for info in infos}) != len(infos):
        raise ValueError("zip archive with two members of one name")
    if any(info.compress_type != zipfile.ZIP_STORED for info in infos):
        raise ValueError("zip archive with a compressed member")
    return {info.filename: _content(data, info) for info in infos}


def _content(data: mmap.mmap, info: zipfile.ZipInfo) -> Callable[[], memoryview]:
    def content() -> memoryview:
        header = data[info.header_offset : info.header_offset + ZIP_HEADER_BYTES]
        if header[:4] != ZIP_MAGIC:
            raise ValueError(f"zip member {info.filename} has no header")
        lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        start = info.header_offset + ZIP_HEADER_BYTES + lengths
        view = memoryview(data)[start : start + info.file_size]
        if len(view) != info.file_size or zlib.crc32(view) != info.CRC:
            raise ValueError(f"zip member {info.filename} doesn't match its checksum")
        return view

    return content

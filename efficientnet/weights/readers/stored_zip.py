"""Members of a zip archive that stores without compressing, as PyTorch and Keras write it."""

import mmap
import zipfile
import zlib
from collections.abc import Callable

from etils import epath

MAGIC = b"PK\x03\x04"
LOCAL_HEADER_BYTES = 30


def members(path: epath.Path, data: mmap.mmap) -> dict[str, Callable[[], memoryview]]:
    """Returns, by name, functions that give a member's content without a copy.

    Args:
      path: the archive.
      data: the same file, mapped.

    Raises:
      ValueError: now, for a member that is compressed or named twice; from a member's function, for
        content that is cut off or doesn't have its CRC-32.
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
        header = data[info.header_offset : info.header_offset + LOCAL_HEADER_BYTES]
        if header[:4] != MAGIC:
            raise ValueError(f"zip member {info.filename} has no header")
        lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        start = info.header_offset + LOCAL_HEADER_BYTES + lengths
        view = memoryview(data)[start : start + info.file_size]
        if len(view) != info.file_size or zlib.crc32(view) != info.CRC:
            raise ValueError(f"zip member {info.filename} doesn't have its checksum")
        return view

    return content

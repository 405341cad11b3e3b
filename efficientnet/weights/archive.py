"""Unpacks a .tar.gz from the network or anywhere else without letting it out of its folder."""

import gzip
import pathlib
import shutil
import tarfile

from efficientnet.errors import UserError

MAX_UNPACKED_BYTES = 32 << 30  # several times the largest official archive, L2
READ_BYTES = 1 << 20


def unpack(archive: pathlib.Path, folder: pathlib.Path) -> None:
    """Unpacks an archive into a folder of its own, which must exist and be empty.

    Every member is checked before it is written, and the archive's checksum at the end; after an
    error the folder's content is worth nothing.

    Raises:
      UserError: a member would leave the folder, or is a link or a device, or there is too much.
      EOFError, OSError, tarfile.TarError: the archive is cut off or damaged.
    """
    unpacked = 0
    with gzip.open(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        for member in tar:
            target = _target(archive, member, folder)
            unpacked += member.size
            if unpacked > MAX_UNPACKED_BYTES:
                raise UserError(
                    f"{archive} unpacks to over {MAX_UNPACKED_BYTES >> 30} GiB: refused"
                )
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            content = tar.extractfile(member)
            if content is None:
                raise tarfile.ReadError(f"{member.name} has no content")
            with content, target.open("xb") as file:
                shutil.copyfileobj(content, file, READ_BYTES)
        while stream.read(READ_BYTES):  # the checksum comes last
            pass


def _target(archive: pathlib.Path, member: tarfile.TarInfo, folder: pathlib.Path) -> pathlib.Path:
    """Where a member goes, once it is known to be harmless."""
    if not (member.isreg() or member.isdir()):
        raise UserError(f"{archive} has the member {member.name!r}, a link or device: refused")
    name = pathlib.PurePosixPath(member.name)
    unsafe = name.is_absolute() or ".." in name.parts or "\\" in member.name or ":" in member.name
    if unsafe:
        raise UserError(f"{archive} has the member {member.name!r}, outside its folder: refused")
    return folder / name

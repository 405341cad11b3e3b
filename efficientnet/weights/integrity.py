"""Checks whole files against the digests that come with them.

A digest is in a file `NAME.sha256` beside the file, as `sha256sum` writes it, or, as in PyTorch's
hub, the end of the name is the start of the digest (`b0-355c32eb.pth`).
"""

import hashlib
import os
import re
from typing import BinaryIO, cast

from etils import epath

from efficientnet.errors import UserError

READ_BYTES = 1 << 20
NAMED = re.compile(r"-([0-9a-f]{8,64})\.[a-z]+$")
DATE = re.compile(r"(19|20)\d{6}")  # no digest, though it is eight hexadecimal digits


def digest_of(path: epath.Path, algorithm: str = "sha256") -> str:
    """Digest of a file's content, in hexadecimal."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with cast(BinaryIO, path.open("rb")) as file:
        while chunk := file.read(READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def sidecar_of(path: epath.Path) -> epath.Path:
    """The file that holds another one's digest."""
    return path.with_name(path.name + ".sha256")


def recorded(path: epath.Path) -> str | None:
    """The digest beside a file; None if there is no such file, '' if it is empty."""
    sidecar = sidecar_of(path)
    if not sidecar.is_file():
        return None
    words = sidecar.read_bytes().decode("utf-8", "replace").lower().split()
    return words[0] if words else ""


def record(path: epath.Path, digest: str) -> None:
    """Writes a file's digest beside it, in `sha256sum`'s form."""
    sidecar_of(path).write_text(f"{digest}  {path.name}\n", "utf-8")


def check(path: epath.Path, stated: str = "") -> str:
    """Checks a file against each digest that comes with it.

    Args:
      path: of the file.
      stated: its SHA-256, as the Hugging Face Hub states it; '' if it does not.

    Returns:
      The file's SHA-256; '' if no digest comes with it.

    Raises:
      UserError: the file has another digest.
    """
    expected: dict[str, str] = {}
    beside = recorded(path)
    if beside is not None:
        expected[f"{sidecar_of(path).name} says"] = beside or "nothing"
    named = NAMED.search(path.name)
    if named and not DATE.fullmatch(named[1]):
        expected["its name says"] = named[1]
    if stated:
        expected["the Hugging Face Hub has"] = stated
    digest = digest_of(path) if expected else ""
    for who, start in expected.items():
        if len(start) < 8 or not digest.startswith(start):
            again = (
                f"remove {os.path.realpath(path)} to fetch it again" if stated else "fetch it again"
            )
            raise UserError(
                f"{path} is not the file that {who}: its SHA-256 begins with "
                f"{digest[: max(8, len(start))]}, not {start}; {again}"
            )
    return digest


def check_md5(path: epath.Path, expected: str, url: str) -> None:
    """Raises a `UserError` if a downloaded file has another MD5 than its publisher says."""
    found = digest_of(path, "md5")
    if found != expected:
        raise UserError(
            f"{path} is not the file at {url}: its MD5 is {found}, not {expected}; remove it to "
            "fetch it again"
        )

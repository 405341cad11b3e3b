"""Finds the photos that can't be read, by a look at the beginning and the end of each.

A photo whose ends leave any doubt is decoded, so none is called broken that can be decoded. What is
damaged in between is found only when it is decoded.
"""

import contextlib
import dataclasses
import functools
import hashlib
import math
import os
import pathlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tqdm import tqdm

from efficientnet.paths import written_whole
from input_pipeline import decode, photo_formats
from input_pipeline.decode import UNREADABLE, in_one_line
from input_pipeline.sources.split import TAIL, Ends, Split

# Changed when photos that were whole before may no longer be.
VERSION = b"1"
# Photos that a thread looks at in one call.
PART = 64
# Threads for each core: a network disk answers many at once.
THREADS = 4

# The JPEGs that libjpeg decodes: baseline, extended and progressive.
_CODINGS = (0xC0, 0xC1, 0xC2)


@dataclasses.dataclass(frozen=True)
class Broken:
    """A photo that can't be read."""

    split: str
    index: int
    name: str
    reason: str


def find_broken(splits: Mapping[str, Split], memory: pathlib.Path) -> list[Broken]:
    """Looks at every photo, except those that were whole before and have not changed.

    Args:
      splits: by name.
      memory: the file that tells which were whole, as digests of their stamps. What is lost or
        damaged of it is looked at again; of several writers, the last one wins.

    Returns:
      The broken photos in the order of the splits.
    """
    known = _remembered(memory)
    stamps = {name: _digests(split) for name, split in splits.items()}
    left = {name: np.flatnonzero(~np.isin(stamps[name], known)) for name in splits}
    total = sum(map(len, left.values()))
    broken: list[Broken] = []
    with (
        ThreadPoolExecutor(THREADS * (os.cpu_count() or 1)) as threads,
        tqdm(total=total, desc="checking", unit=" photos", mininterval=1.0, delay=1.0) as line,
    ):
        for name, split in splits.items():
            parts = np.split(left[name], range(PART, len(left[name]), PART))
            for found in threads.map(functools.partial(_look_at, split), parts):
                broken += [
                    Broken(name, index, split.names[index], reason)
                    for index, reason in found
                    if reason
                ]
                line.update(len(found))
    for photo in broken:
        stamps[photo.split][photo.index] = 0
    if total > len(broken):
        whole = np.concatenate(list(stamps.values()))
        _remember(memory, whole[whole > 0])
    return broken


def problem(split: Split, index: int) -> str:
    """Returns why a photo can't be read, or '' if nothing is wrong with it as far as one sees."""
    try:
        ends = split.ends(index)
        if ends is None or looks_whole(ends):
            return ""
        if not ends.size:
            return "it is empty"
        photo = split.read(index)
        assert isinstance(photo, bytes)
        if not looks_whole(Ends(photo, photo, len(photo))):
            decode.decode(photo, 3)
    except UNREADABLE as error:
        return in_one_line(error)
    return ""


def looks_whole(ends: Ends) -> bool:
    """Whether a photo begins and ends as one that can be decoded; False is only a doubt."""
    head, tail, size = ends
    form = photo_formats.find(head)
    if form is None or form.missing():
        return False
    match form.name:
        case "JPEG":
            header = decode.jpeg_header(head)
            pixels = header.height * header.width if header.components else 0
            return (
                header.coding in _CODINGS
                and header.bits == 8
                and 0 < pixels <= decode.MOST_PIXELS
                and decode.END in tail
                and size - len(tail) + tail.rfind(decode.END) > header.scan
            )
        case "PNG":
            sides = (int.from_bytes(head[place : place + 4]) for place in (16, 20))
            begins = head[12:16] == b"IHDR" and 0 < math.prod(sides) <= decode.MOST_PIXELS
            return begins and b"IEND" in tail[-TAIL:]
        case "GIF":
            return tail.endswith(b";")
        case "WEBP":
            return int.from_bytes(head[4:8], "little") + 8 <= size
        case "AVIF" | "HEIF":
            return _end_of_boxes(head) == size
    return False


def _end_of_boxes(head: bytes) -> int:
    """Returns where the boxes end that begin in the head of an AVIF or HEIF."""
    place = 0
    while place + 16 <= len(head):
        length = int.from_bytes(head[place : place + 4])
        if length == 1:
            length = int.from_bytes(head[place + 8 : place + 16])
        if length < 8:
            return 0
        place += length
    return place


def _look_at(split: Split, indices: np.ndarray) -> list[tuple[int, str]]:
    return [(index, problem(split, index)) for index in indices.tolist()]


def _digests(split: Split) -> np.ndarray:
    """Returns uint64 [n]; 0, which is never remembered, without stamps."""
    digests = [
        int.from_bytes(
            hashlib.blake2b(
                stamp.encode("utf-8", "surrogateescape"), digest_size=8, person=VERSION
            ).digest()
        )
        for stamp in split.stamps
    ]
    return np.array(digests or [0] * len(split), np.uint64)


def _remembered(memory: pathlib.Path) -> np.ndarray:
    content = b""
    with contextlib.suppress(OSError):
        content = memory.read_bytes()
    return np.frombuffer(content[: len(content) // 8 * 8], np.uint64)


def _remember(memory: pathlib.Path, digests: np.ndarray) -> None:
    with contextlib.suppress(OSError):  # such as a full disk, which is no reason to stop
        memory.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(memory) as part:
            part.write_bytes(digests.tobytes())

"""Finding the photos in folders and below, following links."""

import logging
import os
import pathlib
from collections.abc import Iterable, Iterator

from etils import epath

log = logging.getLogger(__name__)

EXTENSIONS = frozenset({".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".webp"})
# Of image formats that can't be decoded.
FOREIGN = frozenset({".avif", ".dng", ".heic", ".heif", ".jp2", ".jxl", ".tif", ".tiff"})


class Walk:
    """Lists the photos of several folders, each photo once.

    A link is followed unless it leads to, into or above a folder that is listed anyway: its photos
    would be listed twice, perhaps as another class, and a cycle would never end.

    Args:
      folders: to be listed.

    Attributes:
      left_out: image files that were found but not listed.
    """

    def __init__(self, folders: Iterable[epath.Path]):
        self.left_out: list[epath.Path] = []
        self._listed: set[pathlib.Path] = set()
        self._above: set[pathlib.Path] = set()
        for folder in folders:
            self._add(pathlib.Path(os.path.realpath(folder)))

    def photos(self, folder: epath.Path) -> Iterator[epath.Path]:
        """Yields the photos in a folder and below."""
        below = []
        for path in folder.iterdir():
            if path.name.startswith("."):
                continue
            suffix = path.suffix.lower()
            if suffix in EXTENSIONS:
                yield path
            elif suffix in FOREIGN:
                self.left_out.append(path)
            elif path.is_dir():
                below.append(path)
        # Sorted, so that the same one of two links to a folder is followed everywhere.
        for path in sorted(below):
            if self._leads_on(path):
                yield from self.photos(path)

    def warn(self, expected: str) -> None:
        """Warns of the number of image files that were left out, and what was expected."""
        if self.left_out:
            log.warning(
                "%d image files are left out, such as %s: expected %s",
                *(len(self.left_out), min(self.left_out), expected),
            )

    def _leads_on(self, folder: epath.Path) -> bool:
        if not os.path.islink(folder):
            return True
        target = pathlib.Path(os.path.realpath(folder))
        if target in self._above or not self._listed.isdisjoint([target, *target.parents]):
            log.warning(
                "the link %s is not followed: %s is, holds or is in a folder that is listed anyway",
                *(folder, target),
            )
            return False
        self._add(target)
        return True

    def _add(self, folder: pathlib.Path) -> None:
        self._listed.add(folder)
        self._above.update(folder.parents)

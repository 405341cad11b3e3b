"""Finding the photos in folders and below, following links and leaving out left-overs."""

import collections
import logging
import os
import pathlib
from collections.abc import Iterable, Iterator

from etils import epath

from input_pipeline import photo_formats
from input_pipeline.sources.split import refuse_bytes

log = logging.getLogger(__name__)

# Of image formats that are not read, and what to do about it.
CONVERT = "convert them to JPEG"
FOREIGN = {
    **photo_formats.MISSING,
    **dict.fromkeys((".jxl", ".svg"), CONVERT),
    **dict.fromkeys((".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2"), CONVERT),
}
# What systems and tools leave beside photos, without case, besides hidden files and folders.
LEFT_OVERS = frozenset(
    {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
    | {"@eadir", "__macosx", "#recycle", "@recycle", "$recycle.bin", "lost+found"}
    | {"system volume information"}
)
MOST_KINDS = 8  # in one message


class Walk:
    """Lists the photos of folders, each photo once, and counts what is left out.

    A file is a photo if its ending is that of a format that can be read or, without an ending, by
    its first bytes. A link is followed unless it leads to, into or above a folder that is listed
    anyway: its photos would be listed twice, perhaps as another class, and a cycle would never end.
    """

    def __init__(self) -> None:
        self._left_out: collections.Counter[str] = collections.Counter()
        self._images: list[str] = []
        self._listed: set[pathlib.Path] = set()
        self._above: set[pathlib.Path] = set()

    def look(self, folder: epath.Path) -> tuple[list[epath.Path], list[epath.Path]]:
        """Returns the photos and the folders in a folder, each sorted, without left-overs.

        Raises:
          UserError: a name is not in UTF-8.
        """
        photos, folders = [], []
        # Sorted, so that the same one of two links to a folder is followed everywhere.
        for path in (folder / name for name in sorted(os.listdir(folder))):
            if not os.path.isdir(path):
                photos += [path] * self.takes(path)
            elif not self._is_left_over(path.name):
                folders.append(path)
        refuse_bytes(map(str, [*photos, *folders]))
        return photos, folders

    def takes(self, file: epath.Path) -> bool:
        """Returns whether a file is a photo, and counts it as left out if it is none."""
        ending = file.suffix.lower()
        if self._is_left_over(file.name):
            return False
        if ending in photo_formats.READABLE or (not ending and _begins_as_photo(file)):
            return True
        if ending in FOREIGN:
            self.leave_out([file], f"{ending} ({FOREIGN[ending]})")
        else:
            ending = ending or "without an ending"
            self._left_out[ending if ending.isascii() else "others"] += 1
        return False

    def photos(self, folder: epath.Path) -> Iterator[epath.Path]:
        """Yields the photos in a folder and below."""
        photos, folders = self.look(folder)
        yield from photos
        for path in folders:
            if self._leads_on(path):
                yield from self.photos(path)

    def claim(self, folders: Iterable[epath.Path]) -> None:
        """Follows no links to folders that are listed anyway."""
        for folder in folders:
            self._add(pathlib.Path(os.path.realpath(folder)))

    def leave_out(self, images: Iterable[epath.Path], reason: str) -> None:
        """Counts image files as left out."""
        for path in images:
            refuse_bytes([str(path)])
            self._images.append(str(path))
            self._left_out[reason] += 1

    def left_out(self) -> str:
        """Returns how many files and folders were left out, by reason; '' if there were none."""
        kinds = [f"{count} {reason}" for reason, count in self._left_out.most_common()]
        kinds[MOST_KINDS:] = ["..."] * (len(kinds) > MOST_KINDS)
        total = sum(self._left_out.values())
        return f"left out {total} file{'s' * (total > 1)}: {', '.join(kinds)}" if kinds else ""

    def report(self, folder: epath.Path) -> None:
        """Logs in one line what was left out; as a warning if there were images."""
        if self._images:
            log.warning("%s: %s, such as %s", folder, self.left_out(), min(self._images))
        elif self._left_out:
            log.info("%s: %s", folder, self.left_out())

    def _is_left_over(self, name: str) -> bool:
        hidden, backup = name.startswith("."), name.startswith("~") or name.endswith("~")
        if hidden or backup:
            self._left_out["hidden" if hidden else "backup copies"] += 1
        elif name.lower() in LEFT_OVERS:
            self._left_out[name] += 1
        else:
            return False
        return True

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


def _begins_as_photo(path: epath.Path) -> bool:
    if not os.path.isfile(path):
        return False
    with path.open("rb") as file:
        form = photo_formats.find(file.read(64))
    # BMP and PPM begin with two letters, as text may.
    return form is not None and form.name not in ("BMP", "PPM") and not form.missing()

"""Photos without labels, named on a command line."""

import glob
import os
import pathlib
from collections.abc import Sequence

from etils import epath

from efficientnet.errors import UserError
from efficientnet.paths import is_in_bucket
from input_pipeline.photo_formats import READABLE
from input_pipeline.sources.split import Split, from_paths, refuse_bytes
from input_pipeline.sources.walk import Walk


def find_photos(arguments: Sequence[str]) -> list[str]:
    """Returns the paths of the photos in files, folders (with all subfolders) and globs.

    Raises:
      UserError: an argument names no photo or one in a bucket, or a file name is not in UTF-8.
    """
    found: list[str] = []
    for argument in arguments:
        if is_in_bucket(argument):
            raise UserError(f"{argument} is in a bucket: copy the photos to this machine first")
        path = pathlib.Path(argument).expanduser()
        if path.is_dir():
            walk, folder = Walk(), epath.Path(path)
            walk.claim([folder])
            photos = [str(photo) for photo in walk.photos(folder) if photo.is_file()]
            if not photos:
                expected = f"expected files ending in {', '.join(sorted(READABLE))}"
                raise UserError(f"there is no photo in {path}: {walk.left_out() or expected}")
            walk.report(folder)
        elif path.is_file():
            photos = [str(path)]
        else:
            walk = Walk()
            files = filter(os.path.isfile, glob.glob(str(path), recursive=True))
            photos = [file for file in files if walk.takes(epath.Path(file))]
            if not photos:
                raise UserError(
                    f"there is no photo {argument}: {walk.left_out() or 'check the path'}"
                )
            walk.report(epath.Path(path))
        found.extend(sorted(photos))
    refuse_bytes(found)
    return found


def photo_split(paths: Sequence[str]) -> Split:
    """Returns the photos as a split to evaluate, all with the label 0."""
    return from_paths(paths, paths, [0] * len(paths))

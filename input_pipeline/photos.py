"""Photos without labels, named on a command line."""

import glob
import pathlib
from collections.abc import Sequence

from etils import epath

from efficientnet.errors import UserError
from input_pipeline.sources.split import Split, from_paths, refuse_bytes
from input_pipeline.sources.walk import EXTENSIONS, Walk


def find_photos(arguments: Sequence[str]) -> list[str]:
    """Returns the paths of photos that files, folders (with all below) and globs stand for.

    Raises:
      UserError: an argument stands for none, or for one whose name is not in UTF-8.
    """
    found: list[str] = []
    for argument in arguments:
        path = pathlib.Path(argument).expanduser()
        if path.is_dir():
            folder = epath.Path(path)
            walk = Walk([folder])
            photos = [pathlib.Path(p) for p in walk.photos(folder) if p.is_file()]
            expected = f"files ending in {', '.join(sorted(EXTENSIONS))}"
            if not photos:
                raise UserError(f"there is no photo in {path}: expected {expected}")
            walk.warn(expected)
        elif path.is_file():
            photos = [path]
        else:
            photos = [pathlib.Path(p) for p in glob.glob(str(path), recursive=True)]
            photos = [p for p in photos if p.is_file()]
            if not photos:
                raise UserError(f"there is no photo {argument}: check the path")
        found.extend(sorted(map(str, photos)))
    refuse_bytes(found)
    return found


def photo_split(paths: Sequence[str]) -> Split:
    """The photos as a split for `eval_batches`, all with the label 0."""
    return from_paths(paths, paths, [0] * len(paths))

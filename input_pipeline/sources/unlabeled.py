"""Photos without labels, named on a command line."""

import glob
from collections.abc import Sequence

from etils import epath

from efficientnet.errors import UserError
from efficientnet.paths import is_in_bucket, user_path
from input_pipeline.sources.split import Split, from_paths, refuse_bytes
from input_pipeline.sources.walk import EXTENSIONS, Walk


def find_photos(arguments: Sequence[str]) -> list[str]:
    """Returns the paths of photos that files, folders (with all below) and globs stand for.

    Files and folders may be in a bucket, where globs stand for nothing.

    Raises:
      UserError: an argument stands for none, or for one whose name is not in UTF-8.
    """
    found: list[str] = []
    for argument in arguments:
        path = user_path(argument)
        if path.is_dir():
            walk = Walk([path])
            photos = list(walk.photos(path))
            if not is_in_bucket(path):  # there it would be a request for each
                photos = [photo for photo in photos if photo.is_file()]
            expected = f"files ending in {', '.join(sorted(EXTENSIONS))}"
            if not photos:
                raise UserError(f"there is no photo in {path}: expected {expected}")
            walk.warn(expected)
        elif path.is_file():
            photos = [path]
        else:
            matching = [] if is_in_bucket(path) else glob.glob(str(path), recursive=True)
            photos = [photo for photo in map(epath.Path, matching) if photo.is_file()]
            if not photos:
                pattern = ", which can't be a pattern in a bucket" if is_in_bucket(path) else ""
                raise UserError(f"there is no photo {argument}: check the path{pattern}")
        found.extend(sorted(map(str, photos)))
    refuse_bytes(found)
    return found


def photo_split(paths: Sequence[str]) -> Split:
    """The photos as a split for `eval_batches`, all with the label 0."""
    return from_paths(paths, paths, [0] * len(paths))

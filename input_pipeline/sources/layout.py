"""Telling from the files of a folder which source reads it."""

from etils import epath

from efficientnet.errors import UserError
from efficientnet.paths import is_in_bucket
from input_pipeline.sources import manifest, parquet, records, stanford_cars


def source_of(path: epath.Path) -> str:
    """Returns the key of `SOURCES` that reads a folder or a table.

    Args:
      path: of a folder, or of a table of photos.

    Raises:
      UserError: there is nothing at the path.
    """
    if path.is_file():
        return "manifest"
    if not path.is_dir():
        raise UserError(f"no directory {path}: check the path of the photos")
    if (path / records.INDEX).is_file():
        return "records"
    if not is_in_bucket(path) and any((path / table).is_file() for table in manifest.TABLES):
        return "manifest"
    if not is_in_bucket(path) and stanford_cars.is_devkit(path):
        return "stanford_cars"
    return "parquet" if parquet.find(path) else "folders"

"""Data sources: one file per family of layouts, and the table of their names."""

import functools
import inspect
from collections.abc import Callable

from efficientnet import hub
from efficientnet.errors import UserError
from efficientnet.paths import is_in_bucket, user_path
from input_pipeline.sources import (
    elpv,
    folders,
    huggingface,
    manifest,
    parquet,
    records,
    stanford_cars,
    tfds,
)
from input_pipeline.sources.groups import grouped
from input_pipeline.sources.split import Source
from input_pipeline.sources.splitting import complete

SOURCES: dict[str, Callable[..., Source]] = {
    "elpv": elpv.load,
    "folders": folders.load,
    "manifest": manifest.load,
    "parquet": parquet.load,
    "records": records.load,
    "stanford_cars": stanford_cars.load,
}
TFDS = "tfds:"
# What is read as few large files, and may therefore be in a bucket.
IN_BUCKETS = ("parquet", "records")


def load_source(
    name: str,
    directory: str | None = None,
    seed: int = 0,
    keep_validation: bool = False,
    group: str = "",
) -> Source:
    """Opens a data set: lists its examples and labels without decoding photos.

    Splits are called 'train', 'validation' and 'test'; a missing test split is made by `complete`.

    Args:
      name: a key of `SOURCES`; 'tfds:' and the name of a data set in TensorFlow Datasets; or
        'hf:OWNER/NAME', a data set of the Hugging Face Hub.
      directory: where the files are; not needed by ELPV and the Hub, the data_dir of TFDS, or the
        path of a manifest itself.
      seed: for the test split of sources without a published one.
      keep_validation: whether a validation split stays one where there is no test split.
      group: a pattern of the groups in the names of the photos, see `grouped`.

    Raises:
      UserError: the name is unknown, or the directory is missing, incomplete or inconsistent.
    """
    if name.startswith(TFDS):
        load: Callable[..., Source] = functools.partial(tfds.load, name.removeprefix(TFDS))
    elif name.startswith(hub.PREFIX):
        load = functools.partial(huggingface.load, name)
    elif name in SOURCES:
        load = SOURCES[name]
    else:
        raise UserError(
            f"unknown data source {name!r}: expected one of {', '.join(SOURCES)}, tfds:NAME, or "
            "hf:OWNER/NAME"
        )
    accepted = inspect.signature(load).parameters
    arguments: dict[str, object] = {"seed": seed} if "seed" in accepted else {}
    if directory and "directory" in accepted:
        path = user_path(directory)
        if is_in_bucket(path) and name not in IN_BUCKETS and not name.startswith(TFDS):
            raise UserError(
                f"{directory} is in a bucket, where photos are not read one by one: copy them to "
                "this machine, or prepare records there with scripts/prepare_data.py"
            )
        if not path.is_dir() and not (name == "manifest" and path.is_file()):
            raise UserError(f"no directory {path} for data source {name!r}: check the path")
        arguments["directory"] = path
    elif directory and name.startswith(hub.PREFIX):
        raise UserError(
            f"data source {name!r} takes no directory, but got {directory}: leave it out; HF_HOME "
            "says where downloads are kept"
        )
    elif "directory" in accepted and accepted["directory"].default is inspect.Parameter.empty:
        raise UserError(f"data source {name!r} needs a directory: say where its files are")
    return complete(grouped(load(**arguments), group), seed, keep_validation)

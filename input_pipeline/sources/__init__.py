"""Where examples come from: one file per family of sources, and the table of their names."""

import inspect
import pathlib
from collections.abc import Callable

from efficientnet.errors import UserError
from input_pipeline.sources import elpv, stanford_cars
from input_pipeline.sources.split import Source, Split, hold_out

SOURCES: dict[str, Callable[..., Source]] = {
    "elpv": elpv.load,
    "stanford_cars": stanford_cars.load,
}


def load_source(name: str, directory: str | None = None, seed: int = 0) -> Source:
    """Opens a data set: lists its examples and labels, and reads no photo.

    Args:
      name: a key of `SOURCES`.
      directory: where the files are; sources that come from a wheel take none.
      seed: of the split, for sources without a published one.

    Raises:
      UserError: the name is unknown, or the directory is missing or incomplete.
    """
    if name not in SOURCES:
        raise UserError(f"unknown data source {name!r}: expected one of {', '.join(SOURCES)}")
    load = SOURCES[name]
    arguments: dict[str, object] = {"seed": seed}
    if "directory" in inspect.signature(load).parameters:
        if not directory:
            raise UserError(f"data source {name!r} needs a directory: say where its files are")
        path = pathlib.Path(directory).expanduser()
        if not path.is_dir():
            raise UserError(f"no directory {path} for data source {name!r}: check the path")
        arguments["directory"] = path
    accepted = inspect.signature(load).parameters
    return load(**{key: value for key, value in arguments.items() if key in accepted})


__all__ = ["SOURCES", "Source", "Split", "hold_out", "load_source"]

"""Training from Python: `efficientnet.finetune`, `efficientnet.train` and `efficientnet.open_run`.

Messages are shown as the commands show them, unless the program has set up its own logging. Ctrl-C,
or a notebook's stop button, saves the run; the same call goes on.
"""

import contextlib
import logging
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict

from configs import auto, common, recipe_file
from efficientnet.config import Auto, RunConfig
from efficientnet.finetuning import open_recipe
from efficientnet.finetuning.finished_run import FinishedRun
from efficientnet.paths import is_in_bucket, user_path
from efficientnet.reporting import runs
from efficientnet.runtime import compilation_cache
from efficientnet.runtime.preemption import Interrupt, Stopped
from efficientnet.training.run import run
from efficientnet.training.start import NOTHING, Opened
from input_pipeline.sources import SOURCES

Path = str | os.PathLike[str]
PACKAGES = ("efficientnet", "input_pipeline")


def finetune(photos: Path, workdir: Path, quality: Auto = "quick", **fields: Any) -> FinishedRun:
    """Fine-tunes a network on photos, by a recipe that is decided from them.

    The decisions are shown with their reasons, and written to WORKDIR/recipe.py. The same call
    again resumes, or returns the finished run.

    Args:
      photos: a folder, such as one with a folder of photos for each class, or a table of photos; or
        the name of a data source, such as 'elpv' or 'tfds:cifar100'; see docs/data.md.
      workdir: the folder of the run.
      quality: 'quick', or 'best', which takes several times as long.
      **fields: of `RunConfig` that are not to be decided, such as `batch_size=8`; those of the data
        as `data={'group': ...}`.

    Raises:
      UserError: something that the user can fix.
      KeyboardInterrupt: the run was stopped, and is saved.
    """
    recipe = auto.get_config(quality)
    place = os.fspath(photos)
    named = place in SOURCES or re.match(r"\w{2,}:", place)  # 'C:' is a disk
    if named and not is_in_bucket(place) and not user_path(place).exists():
        recipe.data.source = place
    else:
        recipe.data.directory = place
    for name, value in fields.pop("data", {}).items():
        recipe.data[name] = value
    for name, value in fields.items():
        recipe[name] = value
    return train(recipe, workdir)


def train(recipe: ConfigDict | RunConfig | Path, workdir: Path) -> FinishedRun:
    """Runs a recipe to its end, resuming from what the workdir already holds.

    Args:
      recipe: what a recipe's `get_config()` returns; or the path of its file, with its arguments
        after a colon.
      workdir: the folder of the run.

    Raises:
      UserError: something that the user can fix.
      KeyboardInterrupt: the run was stopped, and is saved.
    """
    if isinstance(recipe, str | os.PathLike):
        recipe = recipe_file.load(os.fspath(recipe))
    folder = os.fspath(workdir)
    with _shown():
        compilation_cache.enable()
        config, opened = closed(recipe, folder)
        try:
            run(config, folder, opened, Interrupt(alone=False))
        except Stopped as stopped:
            raise KeyboardInterrupt(str(stopped)) from None
    return open_run(folder)


def closed(recipe: ConfigDict | RunConfig, workdir: str) -> tuple[RunConfig, Opened]:
    """Returns a recipe's config, after deciding what it leaves open, and what is open by then."""
    if isinstance(recipe, RunConfig):
        return recipe, NOTHING
    if common.is_open(recipe):
        return open_recipe.close(recipe, workdir)
    return common.parse(recipe), NOTHING


def open_run(workdir: Path) -> FinishedRun:
    """Opens a finished run.

    Raises:
      UserError: the folder has no run, or it is not finished or damaged.
    """
    return FinishedRun(**vars(runs.load(os.fspath(workdir))))


@contextlib.contextmanager
def _shown() -> Iterator[None]:
    """Shows what is going on, unless the program shows or hides it by its own logging."""
    handler = logging.StreamHandler(sys.stdout)
    loggers = [logging.getLogger(name) for name in PACKAGES]
    quiet = [
        one for one in loggers if one.level == logging.NOTSET and not one.isEnabledFor(logging.INFO)
    ]
    for one in quiet:
        one.setLevel(logging.INFO)
        one.addHandler(handler)
        one.propagate = False
    try:
        yield
    finally:
        for one in quiet:
            one.setLevel(logging.NOTSET)
            one.removeHandler(handler)
            one.propagate = True

"""Closing an open recipe: deciding what it leaves open, writing that down, reading it again."""

import functools
import json
import logging
import operator
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import jax
from etils import epath
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from configs import auto, common, recipe_file
from efficientnet.config import DataConfig, RunConfig
from efficientnet.errors import UserError
from efficientnet.finetuning import facts, forecast, rules
from efficientnet.finetuning.rules import Choice, Decisions
from efficientnet.paths import absolute, make_folder, reaching_buckets, user_path, write_whole
from efficientnet.reporting.runs import CONFIG
from efficientnet.runtime import distributed
from efficientnet.training import setup
from efficientnet.training.start import NOTHING, Opened
from input_pipeline.sources.layout import source_of

log = logging.getLogger(__name__)

RECIPE = "recipe.py"  # in the workdir
WIDTH = 100
VALUE = 14  # the column of values; longer ones have a line of their own


@reaching_buckets()
def close(recipe: ConfigDict, workdir: str) -> tuple[RunConfig, Opened]:
    """Returns the recipe of a workdir; if it has none, decides it and writes it there first.

    Every process of a run must call it; the first one decides.

    Args:
      recipe: that of configs/auto.py, with what the user has set.
      workdir: of the run.

    Returns:
      The config, and what was opened to decide it.

    Raises:
      UserError: there are no photos, or no pretrained weights; or the workdir holds a run of
        another recipe, or one that is wrong or was decided for another quality.
    """
    path = absolute(workdir) / RECIPE
    given = _given(recipe)
    decided = not path.exists()
    if decided and (path.parent / CONFIG).exists():
        raise UserError(
            f"{path.parent} holds a run whose recipe was not decided here: choose another workdir, "
            "or give its own recipe to resume it"
        )
    opened = NOTHING
    if decided and distributed.leads():
        opened = _decide(recipe.auto, given, path)
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(RECIPE)
    closed = recipe_file.load(str(path))
    if closed.auto != recipe.auto:
        raise UserError(
            f"{path} was decided for {closed.auto!r}, not for {recipe.auto!r}: choose another "
            "workdir"
        )
    if decided:
        log.info("the recipe is %s: edit it, and the same command takes it as it is", path)
    else:
        log.info("the recipe is %s, which was decided before", path)
        for name, value in given.items():
            *parents, field = name.split(".")
            functools.reduce(operator.getitem, parents, closed)[field] = value
    return common.parse(closed), opened


def _given(recipe: ConfigDict) -> dict[str, Any]:
    """Returns what the user has set in an open recipe, such as {'data.directory': 'photos'}."""
    untouched = dict(_flat(auto.get_config(recipe.auto)))
    return {name: value for name, value in _flat(recipe) if value != untouched[name]}


def _flat(recipe: ConfigDict) -> Iterator[tuple[str, Any]]:
    for name, value in recipe.items():
        if isinstance(value, ConfigDict):
            yield from ((f"{name}.{field}", item) for field, item in value.items())
        else:
            yield name, value


def _decide(quality: str, given: dict[str, Any], path: epath.Path) -> Opened:
    """Decides a recipe, shows it with the reasons, and writes it; returns what it has opened."""
    layout, data = _data(given)
    source = setup.open_source(data)
    photos, machine = facts.of_photos(source, data.examples), facts.of_machine()
    log.info("photos: %s", photos)
    log.info("machine: %s", machine)
    decisions = rules.decide(photos, machine, quality, given, facts.find_weights)
    others = {name: Choice(value, rules.ASKED_FOR) for name, value in given.items()}
    decisions.fields = {"data.source": layout, **others, **decisions.fields}
    log.info("decided:\n%s", "\n".join(_lines(decisions)))
    for note in rules.notes(photos):
        log.info("note: %s", note)
    make_folder(path.parent)
    write_whole(path, text_of(quality, decisions, photos, machine, path).encode())
    config = common.parse(recipe_file.load(str(path)))
    speed = forecast.measure(
        config, source.splits["train"], len(source.class_names), decisions.pretrained
    )
    log.info("%s", forecast.described(config, photos, speed))
    return Opened(source, decisions.pretrained)


def _data(given: Mapping[str, Any]) -> tuple[Choice, DataConfig]:
    """Returns how the data are read, and their config as far as it is known."""
    directory = given.get("data.directory", "")
    known = given.get("data.source")
    if known is None and not directory:
        raise UserError(
            "configs/auto.py has no photos: say where they are, by "
            "--config.data.directory=photos or --config.data.source=NAME (docs/data.md)"
        )
    source = Choice(known, rules.ASKED_FOR)
    if known is None:
        source = Choice(source_of(user_path(directory)), f"the layout of {directory}")
    fields = {
        name.removeprefix("data."): value
        for name, value in given.items()
        if name.startswith("data.")
    }
    return source, DataConfig(**{**fields, "source": source.value})


def _lines(decisions: Decisions) -> Iterator[str]:
    """Yields the decisions as a table: the field, its value, and why."""
    rows = [
        (name, _shown(choice.value), choice.reason) for name, choice in decisions.fields.items()
    ]
    for stage in decisions.stages:
        fields = stage.value
        rows.append((f"stage {fields['name']}", f"{fields['epochs']:g} epochs", stage.reason))
    first = 2 + max(len(name) for name, *_ in rows)
    for name, value, reason in rows:
        begin = f"  {name:<{first}}{value:<{VALUE}}"
        indent = " " * (2 + first + VALUE)
        if len(value) >= VALUE:
            yield begin
            begin = indent
        yield from textwrap.wrap(
            reason, WIDTH, initial_indent=begin, subsequent_indent=indent, break_on_hyphens=False
        )


def _shown(value: Any) -> str:
    return str(value) if value != "" else "none"


def text_of(
    quality: str,
    decisions: Decisions,
    photos: facts.Photos,
    machine: facts.Machine,
    path: epath.Path,
) -> str:
    """Returns a recipe as the text of a Python file, each field below its reason."""
    lines = [
        f'"""Decided by configs/auto.py:{quality}; edit it as you like, before the run begins.',
        "",
        f"    python train.py --config={path} --workdir={path.parent}",
        "",
        *_wrapped(f"Photos: {photos}.", ""),
        *_wrapped(f"Machine: {machine}.", ""),
        *(line for note in rules.notes(photos) for line in _wrapped(f"Note: {note}.", "")),
        '"""',
        "",
        "from ml_collections import ConfigDict",
        "",
        "from configs import common",
        "",
        "",
        "def get_config() -> ConfigDict:",
        '    """Returns the recipe."""',
        "    config = common.get_config()",
        f"    config.auto = {_literal(quality)}",
    ]
    for name, choice in decisions.fields.items():
        lines += _wrapped(choice.reason, "    # ")
        lines.append(f"    config.{name} = {_literal(choice.value)}")
    lines.append("    config.stages = (")
    for stage in decisions.stages:
        lines += _wrapped(stage.reason, "        # ")
        lines.append("        common.stage(")
        lines += [f"            {name}={_literal(value)}," for name, value in stage.value.items()]
        lines.append("        ),")
    lines += ["    )", "    return config"]
    return "\n".join(lines) + "\n"


def _literal(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _wrapped(text: str, indent: str) -> list[str]:
    text = text[:1].upper() + text[1:]
    return textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )

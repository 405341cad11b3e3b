"""What every recipe starts from, and the parsing of recipes.

A recipe starts from `get_config()`, and its stages from `stage()`; efficientnet/config.py declares
their fields. A misspelled field or a wrong value is an error that names the field. `parse` turns a
recipe, with its overrides from the command line, into a `RunConfig`.
"""

from collections.abc import Collection
from typing import Any

from ml_collections import ConfigDict

from configs.fields import RunFields, StageFields, filled
from efficientnet.config import RunConfig
from efficientnet.errors import UserError
from efficientnet.network import freeze_groups
from efficientnet.network.variants import VARIANTS, get_variant


def get_config() -> ConfigDict:
    """Returns the defaults of `RunConfig`; a recipe must still set `data.source` and `stages`."""
    return filled(RunFields)


def stage(name: str, train: str, epochs: float, **fields: Any) -> ConfigDict:
    """Returns one stage, with the defaults of `StageConfig`.

    Args:
      name: in TensorBoard, checkpoints and the report.
      train: the freeze groups that train, such as 'predictions', 'block6-' or 'all'.
      epochs: passes over the training photos.
      **fields: values of the other fields.

    Raises:
      UserError: a value is wrong, or there is no such field.
    """
    return filled(StageFields, name=name, train=train, epochs=epochs, **fields)


def is_open(config: ConfigDict) -> bool:
    """Whether a recipe, such as that of configs/auto.py, leaves its stages to be decided."""
    return bool(config.get("auto")) and not config.stages


def parse(config: ConfigDict) -> RunConfig:
    """Returns a recipe as a `RunConfig`, which checks its values.

    Augmentations, data and devices are not checked here, because their code takes long to import.

    Raises:
      UserError: a field has a wrong value, two values don't go together, or the recipe is open.
    """
    if is_open(config):
        raise UserError(
            "configs/auto.py decides the recipe when train.py begins the run: let it, and take the "
            "recipe.py that it writes to the workdir"
        )
    stages = [dict(stage) for stage in config.stages]
    run = RunConfig.from_json({**config, "stages": stages, "data": dict(config.data)})
    get_variant(run.variant)
    for each in run.stages:
        freeze_groups.trainable(each)
    return run


def progressive(
    down_to: str, epochs: float, *, rate_factor: float = 1.0, **fields: Any
) -> tuple[ConfigDict, ...]:
    """Returns stages that each unfreeze one more freeze group, from the classifier down.

    Args:
      down_to: the last freeze group to unfreeze, such as 'block4' or 'stem'.
      epochs: of each stage.
      rate_factor: multiplies the learning rate from one stage to the next, unless it is 'auto'.
      **fields: values of the stages' other fields; `learning_rate` is that of the first stage.

    Raises:
      UserError: there is no such freeze group.
    """
    stages = []
    for group in reversed(freeze_groups.parse(f"{down_to}-")):
        stages.append(stage(group, f"{group}-", epochs, **fields))
        if stages[-1].learning_rate != "auto":
            stages[-1].learning_rate *= rate_factor ** (len(stages) - 1)
    return tuple(stages)


def arguments(text: str, recipes: Collection[str]) -> tuple[str, str]:
    """Parses the arguments in --config=FILE:ARGUMENTS, such as 'head' or 'head,b3'.

    Args:
      text: at most one of the recipes and at most one variant, joined by a comma.
      recipes: the recipes of the file; the first is the default.

    Returns:
      The recipe and the variant, by default B0.

    Raises:
      UserError: a word is neither a recipe nor a variant.
    """
    recipe, variant = next(iter(recipes)), "b0"
    for word in filter(None, text.split(",")):
        if word in recipes:
            recipe = word
        elif word in VARIANTS:
            variant = word
        else:
            raise UserError(
                f"{word!r} after the config's colon: expected one of {', '.join(recipes)}, or a "
                f"variant, one of {', '.join(VARIANTS)}"
            )
    return recipe, variant

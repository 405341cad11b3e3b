"""Freeze groups: the parts of a network that are frozen as a whole.

A block's shortcut spans the block, so only whole blocks are ever frozen.
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from efficientnet.config import BatchNormPolicy, StageConfig
from efficientnet.errors import UserError
from efficientnet.network.variants import VARIANTS

_RUNS = max(len(variant.block_args) for variant in VARIANTS.values())
# From the input to the output.
GROUPS = ("stem", *(f"block{number + 1}" for number in range(_RUNS)), "top", "predictions")


def group_of(layer: str) -> str:
    """Returns the freeze group of a layer: `block2` for `block2a_expand_conv`."""
    prefix = layer.split("_", maxsplit=1)[0]
    return prefix.rstrip("abcdefghijklmnopqrstuvwxyz") if prefix.startswith("block") else prefix


def parse(spec: str) -> tuple[str, ...]:
    """Returns the freeze groups that a spec names, from input to output.

    Args:
      spec: comma-separated parts, each a group (`predictions`), a range with both ends
        (`block6-block7`), an open range to the output (`block6-`), or `all`.

    Raises:
      UserError: a part is none of these, or names no group.
    """
    chosen: set[str] = set()
    for part in spec.replace(" ", "").split(","):
        first, dash, last = part.partition("-")
        if part == "all":
            first, last = GROUPS[0], GROUPS[-1]
        elif not dash:
            last = first
        elif not last:
            last = GROUPS[-1]
        if first not in GROUPS or last not in GROUPS or GROUPS.index(first) > GROUPS.index(last):
            raise UserError(
                f"{part!r} in {spec!r} names no freeze group: expected 'all', one of "
                f"{', '.join(GROUPS)}, or a range such as 'block6-' or 'block6-block7'"
            )
        chosen.update(GROUPS[GROUPS.index(first) : GROUPS.index(last) + 1])
    return tuple(group for group in GROUPS if group in chosen)


def split(
    variables: Mapping[str, Any], groups: Collection[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits a collection of variables by layer into those of the groups and the rest.

    `{**chosen, **rest}` is the whole again.
    """
    chosen = {layer: value for layer, value in variables.items() if group_of(layer) in groups}
    rest = {layer: value for layer, value in variables.items() if layer not in chosen}
    return chosen, rest


class Trainable(NamedTuple):
    """What a stage trains; all else is frozen.

    BatchNorm is frozen (inference mode, scale and bias stay) except in `batch_norm_groups`, where
    it uses and updates the statistics of the batch; its scale and bias train if `batch_norm` is
    'trained'. Dropout and stochastic depth are active in `dropout_groups`.
    """

    groups: tuple[str, ...]
    batch_norm: BatchNormPolicy
    batch_norm_groups: tuple[str, ...]
    dropout_groups: tuple[str, ...]


def trainable(stage: StageConfig) -> Trainable:
    """Returns what a stage trains.

    Raises:
      UserError: it names no freeze group, has a policy for BatchNorm that is frozen, or wants
        cached features of a network that changes.
    """
    groups = parse(stage.train)
    changing = stage.mixup or stage.cutmix or stage.drop_in_frozen
    if stage.cached_copies and (groups != ("predictions",) or changing):
        raise UserError(
            f"stage {stage.name!r} has cached_copies {stage.cached_copies}: only a stage that "
            "trains 'predictions' alone, without mixup, cutmix and drop_in_frozen, can train on "
            "cached features"
        )
    own = parse(stage.batch_norm_groups) if stage.batch_norm_groups else groups
    if stage.batch_norm_groups and (stage.batch_norm == "frozen" or not set(own) <= set(groups)):
        raise stage.wrong(
            "batch_norm_groups",
            f"groups that train, of {', '.join(groups)}, and batch_norm 'statistics' or 'trained'",
        )
    return Trainable(
        groups,
        stage.batch_norm,
        batch_norm_groups=() if stage.batch_norm == "frozen" else own,
        dropout_groups=GROUPS if stage.drop_in_frozen else groups,
    )


def split_params(
    params: Mapping[str, Any], trains: Trainable
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits the parameters into (trainable, frozen); `{**trainable, **frozen}` is the whole."""
    trainable, frozen = split(params, trains.groups)
    for layer in [layer for layer in trainable if layer.endswith("_bn")]:
        if trains.batch_norm != "trained" or group_of(layer) not in trains.batch_norm_groups:
            frozen[layer] = trainable.pop(layer)
    return trainable, frozen

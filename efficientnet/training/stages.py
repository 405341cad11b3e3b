"""Which layers a stage trains, and the split of the variables that follows from it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from efficientnet.config import BatchNormPolicy, StageConfig
from efficientnet.errors import UserError
from efficientnet.network import freeze_groups


class Plan(NamedTuple):
    """What a stage trains.

    BatchNorm of the trained groups is `frozen` (inference mode, scale and bias stay), updates only
    its `statistics`, or is `trained` wholly. BatchNorm of all other groups is always frozen.
    """

    groups: tuple[str, ...]
    batch_norm: BatchNormPolicy

    @property
    def batch_norm_groups(self) -> tuple[str, ...]:
        """Block groups whose BatchNorm uses and updates the statistics of the batch."""
        return () if self.batch_norm == "frozen" else self.groups


def plan(stage: StageConfig) -> Plan:
    """Returns what a stage of a config trains.

    Raises:
      UserError: it names no freeze group, or wants cached features of a network that changes.
    """
    groups = freeze_groups.parse(stage.train)
    if stage.cached_copies and (groups != ("predictions",) or stage.mixup or stage.cutmix):
        raise UserError(
            f"stage {stage.name!r} has cached_copies {stage.cached_copies}: only a stage that "
            "trains 'predictions' alone, without mixup and cutmix, can train on cached features"
        )
    return Plan(groups, stage.batch_norm)


def split_params(params: Mapping[str, Any], plan: Plan) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits the parameters into (trainable, frozen); `{**trainable, **frozen}` is the whole."""
    trainable, frozen = freeze_groups.split(params, plan.groups)
    if plan.batch_norm != "trained":
        for layer in [layer for layer in trainable if layer.endswith("_bn")]:
            frozen[layer] = trainable.pop(layer)
    return trainable, frozen


def count_params(params: Mapping[str, Any], plan: Plan) -> dict[str, int]:
    """Counts the scalars that are `trainable` and those that are `frozen`."""
    return {
        name: sum(leaf.size for leaf in jax.tree.leaves(part))
        for name, part in zip(("trainable", "frozen"), split_params(params, plan), strict=True)
    }

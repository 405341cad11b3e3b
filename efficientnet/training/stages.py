"""Which layers a stage trains, and the split of the variables that follows from it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from efficientnet.errors import UserError
from efficientnet.network import freeze_groups

BATCH_NORM_POLICIES = ("frozen", "statistics", "trained")


def wrong(stage: ConfigDict, field: str, expected: str) -> UserError:
    """Returns what to raise for a field of a stage that has a value which can't be."""
    return UserError(f"stage {stage.name!r} has {field} {stage[field]!r}: expected {expected}")


class Plan(NamedTuple):
    """What a stage trains.

    BatchNorm of the trained groups is `frozen` (inference mode, scale and bias stay), updates only
    its `statistics`, or is `trained` wholly. BatchNorm of all other groups is always frozen.
    """

    groups: tuple[str, ...]
    batch_norm: str

    @property
    def batch_norm_groups(self) -> tuple[str, ...]:
        """Block groups whose BatchNorm uses and updates the statistics of the batch."""
        return () if self.batch_norm == "frozen" else self.groups


def plan(stage: ConfigDict) -> Plan:
    """Returns what a stage of a config trains; a spec that names nothing is a `UserError`."""
    if stage.batch_norm not in BATCH_NORM_POLICIES:
        raise wrong(stage, "batch_norm", f"one of {', '.join(BATCH_NORM_POLICIES)}")
    return Plan(freeze_groups.parse(stage.train), stage.batch_norm)


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

"""From the names in a file to the names of a family: prefixes, averages and extras set apart."""

import dataclasses
from collections.abc import Mapping

from efficientnet.errors import UserError
from efficientnet.weights.naming import FAMILIES, KERAS, KERAS_NUMBERED, TF1, Family
from efficientnet.weights.readers.checkpoint import Checkpoint, Tensor

AVERAGE = "/ExponentialMovingAverage"
# No weights: step counters, optimizer slots, and counters that PyTorch and Keras keep.
IGNORED_ENDINGS = (
    "num_batches_tracked",
    "n_averaged",
    "global_step",
    "/RMSProp",
    "/RMSProp_1",
    "/Momentum",
    "/Momentum_1",
)
NORMALIZATION = "normalization"  # the layer of Keras models that does the preprocessing


@dataclasses.dataclass(frozen=True)
class Dialect:
    """A checkpoint's tensors by their family's names.

    Attributes:
      family: whose names they are.
      tensors: the weights.
      averaged: how many of them are moving averages.
      normalization: the variables of a Keras model's own Normalization layer, by name.
    """

    family: Family
    tensors: Mapping[str, Tensor]
    averaged: int = 0
    normalization: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)


def recognize(checkpoint: Checkpoint) -> Dialect:
    """Finds the family that a checkpoint's names belong to.

    Raises:
      UserError: none that is known here; with a few of the names.
    """
    tensors = {
        name: tensor
        for name, tensor in checkpoint.tensors.items()
        if not name.endswith(IGNORED_ENDINGS)
    }
    for dialect in (_plain(tensors), _tf1(tensors), _keras(tensors)):
        if dialect is not None:
            return dialect
    some = ", ".join(sorted(tensors)[:3])
    raise UserError(
        f"{checkpoint.path} ({checkpoint.format}) has names of no EfficientNet known here "
        f"(such as {some}): expected one from Google's TPU code, Keras, timm, torchvision or "
        "efficientnet_pytorch"
    )


def _plain(tensors: dict[str, Tensor]) -> Dialect | None:
    for family in FAMILIES:
        if family not in (TF1, KERAS, KERAS_NUMBERED) and family.marker in tensors:
            return Dialect(family, tensors)
    return None


def _tf1(tensors: dict[str, Tensor]) -> Dialect | None:
    roots = {name.split("/")[0] for name in tensors}
    raw: dict[str, Tensor] = {}
    averages: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        name = name.partition("/")[2] if len(roots) == 1 else name
        if name.endswith(AVERAGE):
            averages[name.removesuffix(AVERAGE)] = tensor
        else:
            raw[name] = tensor
    weights = {**raw, **averages}
    if TF1.marker not in weights:
        return None
    return Dialect(TF1, weights, averaged=len(averages))


def _keras(tensors: dict[str, Tensor]) -> Dialect | None:
    for family in (KERAS, KERAS_NUMBERED):
        if family.marker in tensors:
            mine = {key: tensor for key, tensor in tensors.items() if key.startswith(NORMALIZATION)}
            weights = {key: tensor for key, tensor in tensors.items() if key not in mine}
            return Dialect(family, weights, normalization=mine)
    return None

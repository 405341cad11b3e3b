"""Matching each tensor of a checkpoint with exactly one variable, or listing the leftovers."""

import dataclasses

import numpy as np

from efficientnet.errors import UserError
from efficientnet.network.architecture import layers
from efficientnet.network.variants import VARIANTS, get_variant
from efficientnet.weights.families import FAMILIES
from efficientnet.weights.naming import Entry, FamilyCheckpoint
from efficientnet.weights.readers.checkpoint import Checkpoint

# Not weights: step counters, optimizer slots, and counters of PyTorch and Keras.
IGNORED_ENDINGS = (
    "num_batches_tracked",
    "n_averaged",
    "global_step",
    "/RMSProp",
    "/RMSProp_1",
    "/Momentum",
    "/Momentum_1",
)
SHOWN = 5  # names of each kind in an error; there can be a thousand

Leaves = dict[str, dict[str, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Match:
    """A checkpoint that matches a variant exactly."""

    checkpoint: Checkpoint
    found: FamilyCheckpoint
    variant: str
    num_classes: int
    entries: dict[str, Entry]

    def read(self) -> tuple[Leaves, Leaves]:
        """Returns params and batch_stats as {layer: {leaf: array}}.

        The arrays are float32 and, if possible, views into the file.

        Raises:
          ValueError: a value is not finite or a variance is negative.
        """
        params: Leaves = {}
        batch_stats: Leaves = {}
        for name, entry in self.entries.items():
            collection, layer, leaf = entry.leaf
            values = np.asarray(self.found.weights[name].read())
            if values.shape != entry.shape:
                raise ValueError(f"{name} has another shape than announced")
            values = values.astype(np.float32, copy=False)
            # Both are NaN if any value is, and neither needs a temporary array.
            low, high = values.min(), values.max()
            if not np.isfinite(low) or not np.isfinite(high) or (leaf == "var" and low < 0):
                raise ValueError(f"{name} has impossible values, from {low} to {high}")
            leaves = params if collection == "params" else batch_stats
            leaves.setdefault(layer, {})[leaf] = entry.transform.apply(values)
        return params, batch_stats


def match(checkpoint: Checkpoint, variant: str | None, hint: str) -> Match:
    """Finds the variant of a checkpoint, with nothing left over on either side.

    Args:
      checkpoint: as read from a file.
      variant: the name it must have, or None to find the one that fits.
      hint: words about the file, to distinguish variants of the same shapes.

    Raises:
      UserError: the names are unknown; or something is left over, which the message lists.
    """
    found = recognize(checkpoint)
    name = f"{checkpoint.path} ({found.family.title}, {checkpoint.format})"
    if variant is not None:
        get_variant(variant)
        leftovers = _leftovers(found, variant)
        if leftovers:
            fitting = " or ".join(_fitting(found))
            advice = f"; it is {fitting}" if fitting else ""
            raise UserError(f"{name} is not {variant}: {'; '.join(leftovers)}{advice}")
    else:
        fitting_variants = _fitting(found)
        if not fitting_variants:
            closest = min(VARIANTS, key=lambda key: _distance(found, key))
            raise UserError(
                f"{name} is not a known variant; compared with {closest}, the closest: "
                f"{'; '.join(_leftovers(found, closest))}"
            )
        variant = _choose(fitting_variants, checkpoint.metadata.get("variant"), hint)
        if variant is None:
            raise UserError(
                f"{name} can be {' or '.join(fitting_variants)}, which have the same shapes: say "
                "which with --variant"
            )
    return Match(checkpoint, found, variant, _num_classes(found), _entries(found, variant))


def recognize(checkpoint: Checkpoint) -> FamilyCheckpoint:
    """Finds the family to which the names of a checkpoint belong.

    Raises:
      UserError: they belong to none; the message gives a few of the names.
    """
    tensors = {
        name: tensor
        for name, tensor in checkpoint.tensors.items()
        if not name.endswith(IGNORED_ENDINGS)
    }
    for family in FAMILIES:
        found = family.sort(tensors)
        if family.marker in found.weights:
            return found
    some = ", ".join(sorted(tensors)[:3])
    raise UserError(
        f"{checkpoint.path} ({checkpoint.format}) has names of no EfficientNet known here "
        f"(such as {some}): expected one from Google's TPU code, Keras, timm, torchvision or "
        "efficientnet_pytorch"
    )


def _choose(fitting: list[str], recorded: str | None, hint: str) -> str | None:
    if len(fitting) == 1:
        return fitting[0]
    if recorded in fitting:
        return recorded
    # L2 is one network at two resolutions.
    if "l2" in hint:
        return "l2_475" if "475" in hint else "l2"
    return None


def _fitting(found: FamilyCheckpoint) -> list[str]:
    return [name for name in VARIANTS if not _leftovers(found, name)]


def _num_classes(found: FamilyCheckpoint) -> int:
    """The length of the classifier's bias in the file."""
    for name, entry in _entries_of(found, "predictions"):
        if entry.leaf[-1] == "bias" and name in found.weights:
            shape = found.weights[name].shape
            return shape[0] if len(shape) == 1 else 0
    return 1000


def _channels(found: FamilyCheckpoint) -> int:
    """Of the network's input: 1 if the stem's kernel says so, else 3."""
    ((name, entry),) = _entries_of(found, "stem_conv")
    if name in found.weights and len(found.weights[name].shape) == 4:
        axis = entry.transform.axes[2] if entry.transform.axes else 2
        return 1 if found.weights[name].shape[axis] == 1 else 3
    return 3


def _entries_of(found: FamilyCheckpoint, name: str) -> list[tuple[str, Entry]]:
    """The entries of a layer outside of the blocks, which are called the same in all variants."""
    some = layers(next(iter(VARIANTS.values())), num_classes=1)
    return list(found.family.entries(layer for layer in some if layer.name == name).items())


def _entries(found: FamilyCheckpoint, variant: str) -> dict[str, Entry]:
    return found.family.entries(layers(VARIANTS[variant], _num_classes(found), _channels(found)))


def _differences(found: FamilyCheckpoint, variant: str) -> tuple[list[str], list[str], list[str]]:
    entries = _entries(found, variant)
    missing = ["/".join(e.leaf) for name, e in entries.items() if name not in found.weights]
    unused = [name for name in found.weights if name not in entries]
    misshapen = [
        f"{name} {list(found.weights[name].shape)} instead of {list(entry.shape)}"
        for name, entry in entries.items()
        if name in found.weights and found.weights[name].shape != entry.shape
    ]
    return missing, unused, misshapen


def _distance(found: FamilyCheckpoint, variant: str) -> int:
    return sum(len(names) for names in _differences(found, variant))


def _leftovers(found: FamilyCheckpoint, variant: str) -> list[str]:
    """One phrase for each kind of leftover; nothing when the match is exact."""
    titles = ("not in the file", "not in the network", "of another shape")
    phrases = []
    for title, names in zip(titles, _differences(found, variant), strict=True):
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            phrases.append(f"{len(names)} {title} ({', '.join(names[:SHOWN])}{more})")
    return phrases

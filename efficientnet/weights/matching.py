"""Matching each tensor of a checkpoint with exactly one variable, or listing the leftovers."""

import dataclasses
import re

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
# What the place of a network in a file says of averaged weights, which are preferred.
AVERAGED = {"averaged", "ema", "swa"}
CONVOLUTION_AXES = 4  # of its kernel
SHOWN = 5  # names of each kind in an error; there can be a thousand

Leaves = dict[str, dict[str, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Match:
    """A checkpoint whose backbone matches a variant exactly.

    Attributes:
      found: the tensors of the network in it.
      variant: its name.
      num_classes: of its classifier; 0 without one.
      entries: what is taken from the file, by the file's names.
      leftovers: how the classifier differs, in words; '' if all matches exactly.
    """

    found: FamilyCheckpoint
    variant: str
    num_classes: int
    entries: dict[str, Entry]
    leftovers: str

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

    Only the classifier may be missing or another one: layers without a convolution that the file
    has outside of the backbone. It is then left out.

    Args:
      checkpoint: as read from a file.
      variant: the name it must have, or None to find the one that fits.
      hint: words about the file, to distinguish variants of the same shapes.

    Raises:
      UserError: the names are unknown; or something is left over, which the message lists.
    """
    found = recognize(checkpoint)
    name = f"{checkpoint.path} ({found.family.title}, {checkpoint.format})"
    compared = {key: _compare(found, key) for key in VARIANTS}
    fitting = [key for key, comparison in compared.items() if comparison.fits]
    if variant is not None:
        get_variant(variant)
        if variant not in fitting:
            advice = f"; it is {' or '.join(fitting)}" if fitting else ""
            raise UserError(f"{name} is not {variant}: {compared[variant].leftovers}{advice}")
    elif not fitting:
        closest = min(compared, key=lambda key: compared[key].distance)
        raise UserError(
            f"{name} is not a known variant; compared with {closest}, the closest: "
            f"{compared[closest].leftovers}"
        )
    else:
        variant = _choose(fitting, checkpoint.metadata.get("variant"), hint)
        if variant is None:
            raise UserError(
                f"{name} can be {' or '.join(fitting)}, which have the same shapes: say which with "
                "--variant"
            )
    chosen = compared[variant]
    if chosen.leftovers:
        return Match(found, variant, 0, chosen.backbone, chosen.leftovers)
    return Match(found, variant, _num_classes(found), chosen.entries, "")


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
        places = _places(found)
        if places:
            return _network_at(_choose_place(places, checkpoint), places, found)
    if not tensors:
        raise UserError(f"{checkpoint.path} ({checkpoint.format}) holds no weights: save it again")
    some = ", ".join(sorted(tensors)[:3])
    raise UserError(
        f"{checkpoint.path} ({checkpoint.format}) has names of no EfficientNet known here "
        f"(such as {some}): expected one from Google's TPU code, Keras, timm, torchvision or "
        "efficientnet_pytorch"
    )


def _places(found: FamilyCheckpoint) -> list[str]:
    """Returns what stands before the names of each network in a checkpoint; '' mostly."""
    marker = found.family.marker
    endings = (f".{marker}", f"/{marker}")
    return sorted(
        name.removesuffix(marker)
        for name in found.weights
        if name == marker or name.endswith(endings)
    )


def _choose_place(places: list[str], checkpoint: Checkpoint) -> str:
    averaged = [place for place in places if AVERAGED & {*re.split("[^a-z]+", place.lower())}]
    chosen = averaged if len(averaged) == 1 else places
    if len(chosen) > 1:
        names = " and ".join(place.rstrip("./") or "the top" for place in chosen)
        raise UserError(
            f"{checkpoint.path} holds {len(chosen)} networks, at {names}: save one of them alone"
        )
    return chosen[0]


def _network_at(place: str, places: list[str], found: FamilyCheckpoint) -> FamilyCheckpoint:
    """Returns the network at a place, apart from other networks and what a training keeps."""
    # A pickle's dicts lie in one another; beside the weights may be those of an optimizer.
    pickled = found.family.separator == "."
    above = place[: place.rfind("/") + 1] if pickled else ""
    weights, rest = {}, {}
    for name, tensor in found.weights.items():
        if not name.startswith(above) or (pickled and "/" in name.removeprefix(above)):
            continue
        owner = max((one for one in places if name.startswith(one)), key=len, default=None)
        if owner == place:
            weights[name.removeprefix(place)] = tensor
        elif owner is None:
            rest[name] = tensor
    normalization = {
        name: tensor for name, tensor in found.normalization.items() if name.startswith(place)
    }
    return dataclasses.replace(found, weights=weights, rest=rest, normalization=normalization)


def _choose(fitting: list[str], recorded: str | None, hint: str) -> str | None:
    if len(fitting) == 1:
        return fitting[0]
    if recorded in fitting:
        return recorded
    # L2 is one network at two resolutions.
    if "l2" in hint:
        return "l2_475" if "475" in hint else "l2"
    return None


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


@dataclasses.dataclass(frozen=True)
class _Comparison:
    """How a checkpoint differs from a variant, in the file's names and with the shapes there.

    Attributes:
      entries: what a whole checkpoint of the variant holds.
      missing: those of them that are not there.
      misshapen: those of another shape.
      unused: what else is there.
    """

    entries: dict[str, Entry]
    missing: list[str]
    misshapen: dict[str, tuple[int, ...]]
    unused: dict[str, tuple[int, ...]]

    @property
    def backbone(self) -> dict[str, Entry]:
        """The entries without those of the classifier."""
        return {
            name: entry for name, entry in self.entries.items() if entry.leaf[1] != "predictions"
        }

    @property
    def fits(self) -> bool:
        """Whether the backbone is exactly there, and all else can be a classifier."""
        backbone = self.backbone
        roots = {_root(name) for name in backbone}
        return backbone.keys().isdisjoint([*self.missing, *self.misshapen]) and not any(
            len(shape) == CONVOLUTION_AXES or _root(name) in roots
            for name, shape in self.unused.items()
        )

    @property
    def distance(self) -> int:
        """The number of differences."""
        return len(self.missing) + len(self.misshapen) + len(self.unused)

    @property
    def leftovers(self) -> str:
        """One phrase for each kind of leftover; '' when the match is exact."""
        phrases = []
        for title, names in (
            ("not in the file", ["/".join(self.entries[name].leaf) for name in self.missing]),
            ("not in the network", list(self.unused)),
            (
                "of another shape",
                [
                    f"{name} {list(shape)} instead of {list(self.entries[name].shape)}"
                    for name, shape in self.misshapen.items()
                ],
            ),
        ):
            if names:
                more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
                phrases.append(f"{len(names)} {title} ({', '.join(names[:SHOWN])}{more})")
        return "; ".join(phrases)


def _root(name: str) -> str:
    """Returns the first part of a layer's name; all blocks have the same."""
    return re.sub(r"^(_?block).*", r"\1", re.split("[./]", name)[0])


def _compare(found: FamilyCheckpoint, variant: str) -> _Comparison:
    entries = _entries(found, variant)
    weights = found.weights
    return _Comparison(
        entries,
        missing=[name for name in entries if name not in weights],
        misshapen={
            name: weights[name].shape
            for name, entry in entries.items()
            if name in weights and weights[name].shape != entry.shape
        },
        unused={
            name: tensor.shape
            for name, tensor in (*weights.items(), *found.rest.items())
            if name not in entries
        },
    )

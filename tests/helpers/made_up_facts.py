"""Photos and machines that are made up, and what is decided for them."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from efficientnet.finetuning import rules
from efficientnet.finetuning.facts import Machine, Photos, Weights

PHOTOS = Photos(
    train=4000,
    validation=0,
    test=1000,
    classes=10,
    smallest=300,
    largest=500,
    side=300,
    gray=False,
)
LAPTOP = Machine("cpu", "cpu", 1, None, bfloat16=False, cores=2, free_bytes=8e9)
T4 = Machine("gpu", "Tesla T4", 1, 15_000_000_000, bfloat16=False, cores=2, free_bytes=10e9)
H100 = Machine("gpu", "NVIDIA H100", 1, 80_000_000_000, bfloat16=True, cores=16, free_bytes=100e9)
TPU = Machine("tpu", "TPU v5e", 4, 16_000_000_000, bfloat16=True, cores=112, free_bytes=190e9)

Candidates = Sequence[tuple[str, str | None]]


def first(candidates: Candidates) -> Weights:
    word, variant = candidates[0]
    return Weights(word, variant or "b0")


def offline(candidates: Candidates) -> Weights:
    missing = tuple(dict.fromkeys(word for word, _ in candidates if word != "lite_wheel"))
    return (
        Weights("lite_wheel", "lite0", missing)
        if ("lite_wheel", "lite0") in candidates
        else (Weights("", "", missing))
    )


def decided(
    machine: Machine,
    quality: str = "quick",
    given: Mapping[str, Any] | None = None,
    find: rules.FindWeights = first,
    **photos: Any,
) -> rules.Decisions:
    seen = dataclasses.replace(PHOTOS, **photos)
    return rules.decide(seen, machine, quality, given or {}, find)

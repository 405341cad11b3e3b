"""The contenders of each mode of the benchmark."""

import itertools
from collections.abc import Callable, Collection
from typing import Any

from benchmarks.rates.contest import Contender
from benchmarks.rates.input import AUGMENTS, THREADS
from efficientnet.errors import UserError

OURS = "efficientnet"
PEERS: dict[str, dict[str, dict[str, Any]]] = {
    "timm": {
        "eager": {},
        "channels_last": {"channels_last": True},
        "compiled": {"channels_last": True, "compiled": True},
        "bfloat16": {"channels_last": True, "bfloat16": True},
        "bfloat16_compiled": {"channels_last": True, "bfloat16": True, "compiled": True},
    },
    "keras": {"tensorflow": {"backend": "tensorflow"}, "jax": {"backend": "jax"}},
}
PEER_NAMES = (*PEERS, *(f"{peer}.{name}" for peer in PEERS for name in PEERS[peer]))


def train(peers: Collection[str]) -> list[Contender]:
    """The training step of a stage that trains everything."""
    ours = Contender(OURS, "benchmarks.rates.ours:train", {"trains": "all"})
    return [ours, *_peers(peers, "train")]


def infer(peers: Collection[str]) -> list[Contender]:
    """The evaluation step."""
    return [Contender(OURS, "benchmarks.rates.ours:infer"), *_peers(peers, "infer")]


def stages(peers: Collection[str]) -> list[Contender]:
    """The cost of the stages of fine-tuning; all but `infer` are training steps."""
    _no_peers("stages", peers)
    trains = [
        Contender(name, "benchmarks.rates.ours:train", {"trains": name}, {"stage": name})
        for name in ("head", "blocks67", "all")
    ]
    return [Contender("infer", "benchmarks.rates.ours:infer", labels={"stage": "infer"}), *trains]


def loop(peers: Collection[str]) -> list[Contender]:
    """The training and evaluation loops on data that is ready, against the bare steps."""
    _no_peers("loop", peers)
    return [
        Contender("bare step", "benchmarks.rates.ours:train", {"trains": "all"}),
        Contender("loop", "benchmarks.rates.loop:train"),
        Contender("bare evaluation", "benchmarks.rates.ours:infer"),
        Contender("evaluation", "benchmarks.rates.loop:evaluate"),
    ]


def input_pipeline(peers: Collection[str]) -> list[Contender]:
    """From files to batches: the pipeline, its parts, bare decoding, and others' pipelines."""
    _no_peers("input", peers)
    name = "benchmarks.rates.input"
    parts = [
        Contender(f"{part} alone", f"{name}:part", {"what": part})
        for part in ("decode", "read", "batch", "transfer", "augment")
    ]
    ours = [
        Contender(f"{OURS}, {augment}", f"{name}:ours", {"augment": augment})
        for augment in AUGMENTS
    ]
    cached = [
        Contender(f"{c.name}, cached", c.build, {**c.arguments, "cached": True}) for c in ours[:2]
    ]
    theirs = [
        Contender(f"torchvision, {augment}", f"{name}:torchvision", {"augment": augment})
        for augment in AUGMENTS
        if augment != "pad and flip"
    ]
    return [
        Contender("bare decoding", f"{name}:bare_decoding"),
        *ours,
        *cached,
        Contender("plain tf.data", f"{name}:plain_tensorflow"),
        # torchvision's workers are still prefetching when the next turn begins: that of a part.
        *itertools.chain.from_iterable(zip(theirs, parts, strict=False)),
        *parts[len(theirs) :],
    ]


def threads(peers: Collection[str]) -> list[Contender]:
    """The input pipeline with 1, 2, 4 ... threads, up to one for each core."""
    _no_peers("threads", peers)
    return [
        Contender(
            f"{'from decoded photos' if cached else 'from files'}, threads: {2**power}",
            "benchmarks.rates.input:ours",
            {"augment": "affine and jitter", "cached": cached, "threads": 2**power},
        )
        for cached in (False, True)
        for power in range(THREADS.bit_length())
    ]


MODES: dict[str, Callable[[Collection[str]], list[Contender]]] = {
    "train": train,
    "infer": infer,
    "stages": stages,
    "loop": loop,
    "input": input_pipeline,
    "threads": threads,
}


def _no_peers(mode: str, peers: Collection[str]) -> None:
    if peers:
        raise UserError(f"--peers={','.join(peers)}: {mode} compares this project with itself")


def _peers(chosen: Collection[str], function: str) -> list[Contender]:
    """Returns all contenders of a library ('timm') or a single one ('timm.compiled')."""
    return [
        Contender(f"{peer} {name}", f"benchmarks.rates.{peer}_peer:{function}", dict(how))
        for peer, variants in PEERS.items()
        for name, how in variants.items()
        if peer in chosen or f"{peer}.{name}" in chosen
    ]

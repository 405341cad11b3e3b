"""What a GPU does with this code: exactness, repeatability, rates beside timm's, and a profile.

    pip install -e '.[cuda13,oracles]'
    python benchmarks/gpu.py

Takes some minutes and ends with a table. --only=train,profile runs some of the parts:

exactness    logits, Grad-CAM and gradients in float32, against the CPU's
resume       training steps in one go, against the same steps with a new process in between that
             compiles them again: how many bits differ
start        from the start of a process to the end of its first training step of B0, without and
             with the compiled programs of the start before
train        the training step in bfloat16, with trained and with frozen BatchNorm, and once with
             algorithms that XLA chooses by timing them (config.deterministic=False), once with the
             kernels of config.depthwise_kernels=pallas
inference    the evaluation step in bfloat16, likewise
float32      the training step in float32, with exact products and with TF32
b4           the training step of B4 at 380 pixels in bfloat16
kernels      each depthwise layer of B0 in bfloat16: ms of forward, input gradient and kernel
             gradient with the kernels of config.depthwise_kernels=pallas and with XLA, the time in
             which a copy moves as many bytes, and the largest difference between the two
profile      the most expensive operations of a training step

Without timm, there are no peers in the table. It also runs on a CPU, where --small makes it quick;
what that prints says nothing about a GPU.
"""

import argparse
import concurrent.futures
import dataclasses
import logging
import multiprocessing
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from benchmarks.rates import depthwise, repeatability
from benchmarks.rates.contest import Contender, contest
from benchmarks.rates.workload import Setting
from efficientnet.commands import command_line
from efficientnet.errors import UserError
from efficientnet.reporting import tables

log = logging.getLogger(__name__)

B0 = Setting("b0", batch=256, resolution=224, dtype="bfloat16", batch_norm="trained")
B4 = dataclasses.replace(B0, variant="b4", batch=64, resolution=380)
TRAIN, INFER = "benchmarks.rates.ours:train", "benchmarks.rates.ours:infer"
FASTEST = {"channels_last": True, "bfloat16": True, "compiled": True}
HEADER = ("what", "ours", "timm, compiled", "ratio", "peak memory", "timm's", "ready after")
NONE = "-"
TIMED = "algorithms by timing"
OWN = "depthwise kernels of Pallas"


class Row(NamedTuple):
    """A line of the table."""

    what: str
    ours: str
    peer: str = NONE
    ratio: str = NONE
    memory: str = NONE
    peer_memory: str = NONE
    ready: str = NONE


@dataclasses.dataclass(frozen=True)
class Options:
    """What the parts are measured with."""

    weights: str  # to compare the platforms with; '' for random ones
    small: bool
    rounds: int
    seconds: float

    def setting(self, setting: Setting) -> Setting:
        """Returns a setting, or a small one in its place."""
        return dataclasses.replace(setting, batch=4, resolution=32) if self.small else setting


def exactness(options: Options) -> Iterator[Row]:
    """Compares the device with the CPU."""
    found = _alone(repeatability.platforms, options.weights, options.small)
    for what, difference in found["differences"].items():
        yield Row(f"{what}, largest difference to the CPU", f"{difference:.1e}")
    yield Row("largest logit", f"{found['largest_logit']:.1f}")


def resume(options: Options) -> Iterator[Row]:
    """Compares training in one go with training that is interrupted."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        half = pathlib.Path(folder) / "half.npz"
        steps = 2 * repeatability.STEPS
        whole = _alone(repeatability.train, options.small, None, None, steps)
        _alone(repeatability.train, options.small, None, half, repeatability.STEPS)
        resumed = _alone(repeatability.train, options.small, half, None, repeatability.STEPS)
    differ = [name for name in whole if whole[name] != resumed[name]]
    yield Row(f"arrays that differ after a restart, of {len(whole)}", str(len(differ)))


def start(options: Options) -> Iterator[Row]:
    """The time to a first step of B0."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        for what in ("nothing compiled before", "compiled before"):
            begin = time.perf_counter()
            _alone(repeatability.first_step, options.small, folder)
            yield Row(f"first training step, {what}", f"{time.perf_counter() - begin:.0f} s")


def train(options: Options) -> Iterator[Row]:
    """The training step of B0."""
    ours = [
        Contender("trained BatchNorm", TRAIN, {"trains": "all"}),
        Contender(f"trained BatchNorm, {TIMED}", TRAIN, {"trains": "all", "deterministic": False}),
        Contender(
            f"trained BatchNorm, {OWN}", TRAIN, {"trains": "all", "depthwise_kernels": "pallas"}
        ),
        Contender("frozen BatchNorm", TRAIN, {"trains": "all", "batch_norm": "frozen"}),
    ]
    yield from _rates("train", ours, Contender("timm", _timm("train"), FASTEST), B0, options)


def inference(options: Options) -> Iterator[Row]:
    """The evaluation step of B0."""
    peer = Contender("timm", _timm("infer"), FASTEST)
    ours = [Contender("deterministic", INFER), Contender(TIMED, INFER, {"deterministic": False})]
    yield from _rates("inference", ours, peer, B0, options)


def float32(options: Options) -> Iterator[Row]:
    """The training step of B0 in float32."""
    ours = [
        Contender(name, TRAIN, {"trains": "all", "matmul_precision": precision})
        for name, precision in (("exact", "highest"), ("TF32", "default"))
    ]
    how = {"channels_last": True, "compiled": True}
    setting = dataclasses.replace(B0, dtype="float32", batch=128, matmul_precision="default")
    peer = Contender("timm", _timm("train"), how)
    yield from _rates("train in float32", ours, peer, setting, options)


def b4(options: Options) -> Iterator[Row]:
    """The training step of B4."""
    ours = [Contender("trained BatchNorm", TRAIN, {"trains": "all"})]
    yield from _rates("train", ours, Contender("timm", _timm("train"), FASTEST), B4, options)


def kernels(options: Options) -> Iterator[Row]:
    """The depthwise layers of B0, each alone."""
    for found in _alone(depthwise.measure, options.setting(B0), options.small):
        yield Row(
            f"{found.layer}, forward / input gradient / kernel gradient",
            f"{found.ours} ms, XLA {found.xla}, copy {found.floor:.3f}, "
            f"difference {found.difference:.0e}",
        )


def profile(options: Options) -> Iterator[Row]:
    """The most expensive operations of the training step of B0."""
    ours = Contender("profile", TRAIN, {"trains": "all", "profile": True})
    (result,) = contest([ours], options.setting(B0), 1, options.seconds)
    for row in result["costliest"]:
        what = f"{row['layer'] or NONE}, {row['pass']}: {row['operation']}"
        yield Row(what, f"{row['milliseconds']:.2f} ms, {row['share']:.1%}")


PARTS: dict[str, Callable[[Options], Iterator[Row]]] = {
    "exactness": exactness,
    "resume": resume,
    "start": start,
    "train": train,
    "inference": inference,
    "float32": float32,
    "b4": b4,
    "kernels": kernels,
    "profile": profile,
}


def _timm(mode: str) -> str:
    return f"benchmarks.rates.timm_peer:{mode}"


def _rates(
    what: str, ours: Sequence[Contender], peer: Contender, setting: Setting, options: Options
) -> Iterator[Row]:
    """Yields a row for each of our contenders beside the same peer."""
    setting = options.setting(setting)
    results = contest([*ours, peer], setting, options.rounds, options.seconds)
    found = {result["contender"]: result for result in results}
    theirs = found.pop(peer.name, {})
    name = f"{setting.variant}, {setting.resolution} px, batch {setting.batch}, {setting.dtype}"
    for contender, result in found.items():
        ratio = result["relative"].get(peer.name)
        yield Row(
            f"{what}, {contender} ({name})",
            _rate(result),
            _rate(theirs),
            NONE if ratio is None else f"{ratio:.2f}",
            _memory(result),
            _memory(theirs),
            f"{result['ready_seconds']:.0f} s",
        )


def _rate(result: dict[str, Any]) -> str:
    return f"{result['images_per_second']:,.0f} images/s" if result else NONE


def _memory(result: dict[str, Any]) -> str:
    megabytes = result.get("peak_device_memory_mb")
    return NONE if megabytes is None else f"{megabytes / 1e3:.1f} GB"


def _alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """Runs a function in a new process, which leaves the device's memory to the next one."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


def main(arguments: Sequence[str]) -> None:
    """Parses the arguments, measures, prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    parser.add_argument("--weights", default="", help="for exactness; by default random ones")
    parser.add_argument("--small", action="store_true", help="tiny batches, to try the command")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each, default 5")
    parser.add_argument("--seconds", type=float, default=2.0, help="of a turn, default 2")
    args = parser.parse_args(arguments)
    chosen = args.only.split(",")
    for name in chosen:
        if name not in PARTS:
            raise UserError(f"--only={args.only}: expected some of {', '.join(PARTS)}")
    command_line.show_log(__name__)
    options = Options(args.weights, args.small, args.rounds, args.seconds)
    facts = _alone(repeatability.machine)
    print(", ".join(f"{name} {value}" for name, value in facts.items()), flush=True)
    rows = []
    for name in chosen:
        log.info("%s ...", name)
        for row in PARTS[name](options):
            log.info("  %s: %s", row.what, row.ours)
            rows.append(row)
    print(tables.aligned(HEADER, rows))


if __name__ == "__main__":
    sys.exit(command_line.run(main))

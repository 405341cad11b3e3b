"""A workload whose rate is measured, in the process that runs it."""

import contextlib
import dataclasses
import pathlib
import resource
import sys
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

from efficientnet.config import BatchNormPolicy, DepthwiseKernels, Dtype, MatmulPrecision

CLASSES = 196
# The first call compiles, the next ones fill pools and caches.
WARM_UP = 3


@dataclasses.dataclass(frozen=True)
class Setting:
    """The settings that all contenders share."""

    variant: str
    batch: int  # images
    resolution: int  # pixels per side
    dtype: Dtype
    batch_norm: BatchNormPolicy  # of what trains: 'frozen', 'statistics' or 'trained'
    matmul_precision: MatmulPrecision = "highest"  # of training in float32
    deterministic: bool = True  # our own programs on a GPU, see docs/gpu.md
    depthwise_kernels: DepthwiseKernels = "xla"  # of our own training step on a GPU


@dataclasses.dataclass(frozen=True)
class Workload:
    """A contender that is ready to run.

    Attributes:
      run: runs for about the given seconds; returns the numbers of images and of seconds.
      packages: whose versions to report.
      threads: of the CPU that it uses.
      facts: what else to report, such as `device` and `temporary_memory_mb`.
    """

    run: Callable[[float], tuple[int, float]]
    packages: tuple[str, ...]
    threads: int
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """Returns what is reported besides the rate."""
        return {
            "peak_memory_mb": round(peak_memory_mb(), 1),
            **self.facts,
            "threads": self.threads,
            "versions": {name: metadata.version(name) for name in self.packages},
        }


def repeated(step: Callable[[], Any], images: int) -> Callable[[float], tuple[int, float]]:
    """Returns a `Workload.run` that repeats a step.

    Args:
      step: runs to its end; called to warm up now, and once untimed at the start of each turn.
      images: per step.
    """
    for _ in range(WARM_UP):
        step()
    forget_peak_memory()

    def run(seconds: float) -> tuple[int, float]:
        # During the turns of others, a virtual machine returns freed memory to its host.
        step()
        begin = time.perf_counter()
        count, passed = 0, 0.0
        while count == 0 or passed < seconds:
            step()
            count, passed = count + 1, time.perf_counter() - begin
        return count * images, passed

    return run


def forget_peak_memory() -> None:
    """Resets `peak_memory_mb`, where Linux allows it, because compiling takes memory too."""
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mb() -> float:
    """The peak memory of this process since it was warmed up, in 1e6 bytes."""
    status = pathlib.Path("/proc/self/status")
    if (
        status.exists()
    ):  # getrusage would include the memory of the parent before this program started
        line = next(li for li in status.read_text().splitlines() if li.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6

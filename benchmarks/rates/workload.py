"""Something whose rate is measured, in the process that runs it."""

import contextlib
import dataclasses
import pathlib
import resource
import sys
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

from efficientnet.config import BatchNormPolicy, Dtype

CLASSES = 196
# The first call compiles, the next ones fill pools and caches.
WARM_UP = 3


@dataclasses.dataclass(frozen=True)
class Setting:
    """What every contender of a measurement has in common."""

    variant: str
    batch: int  # images
    resolution: int  # pixels per side
    dtype: Dtype
    batch_norm: BatchNormPolicy  # of what trains: 'frozen', 'statistics' or 'trained'


@dataclasses.dataclass(frozen=True)
class Workload:
    """A contender that is ready to run.

    Attributes:
      run: runs for about so many seconds; returns how many images it took, and how many seconds.
      packages: whose versions matter.
      facts: what else to report, such as `temporary_memory_mb`.
    """

    run: Callable[[float], tuple[int, float]]
    packages: tuple[str, ...]
    threads: int
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """Returns what a measurement says besides the rate."""
        return {
            "peak_memory_mb": round(peak_memory_mb(), 1),
            **self.facts,
            "threads": self.threads,
            "versions": {name: metadata.version(name) for name in self.packages},
        }


def repeated(step: Callable[[], Any], images: int) -> Callable[[float], tuple[int, float]]:
    """Returns a `Workload.run` that repeats a step, which waits for its own end.

    Args:
      step: is warmed up at once, and runs once untimed at the beginning of each turn.
      images: that a step takes.
    """
    for _ in range(WARM_UP):
        step()
    forget_peak_memory()

    def run(seconds: float) -> tuple[int, float]:
        # While others had their turns, a virtual machine gives freed memory back to its host.
        step()
        begin = time.perf_counter()
        count, passed = 0, 0.0
        while count == 0 or passed < seconds:
            step()
            count, passed = count + 1, time.perf_counter() - begin
        return count * images, passed

    return run


def forget_peak_memory() -> None:
    """Begins `peak_memory_mb` anew where Linux allows it: compiling takes memory of its own."""
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mb() -> float:
    """The most memory this process has held at once since it was warm, in 1e6 bytes."""
    status = pathlib.Path("/proc/self/status")
    if status.exists():  # getrusage would count the parent's memory before this program began
        line = next(li for li in status.read_text().splitlines() if li.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6

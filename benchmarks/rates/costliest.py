"""The most expensive operations of a compiled step, with the layers that they come from."""

import collections
import pathlib
import re
import tempfile
from collections.abc import Callable
from typing import Any

import jax
from etils import epath
from jax.profiler import ProfileData

from benchmarks.estimates import hlo

STEPS = 5
SHOWN = 10
# Other events are nested in these.
CONTAINERS = ("while", "call", "conditional")


def costliest(step: Callable[[], Any], code: str) -> list[dict[str, Any]]:
    """Traces a few steps and returns the operations that took longest.

    Args:
      step: runs a step and waits for its end.
      code: its optimized HLO, as `jax.stages.Compiled.as_text` gives it.

    Returns:
      `SHOWN` dicts, the most expensive first: `layer` ('' if unknown), `pass` ('forward' or
      'gradient'), `operation` (JAX's name of the last operation of a fusion), `milliseconds` per
      step, and the `share` of the sum over all operations, some of which overlap.
    """
    from efficientnet.training import tensorboard  # imports TensorFlow, whose memory would count

    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        tensorboard.start(epath.Path(folder))
        for _ in range(STEPS):
            step()
        jax.profiler.stop_trace()
        (path,) = pathlib.Path(folder).glob("**/*.xplane.pb")
        seconds = _durations(ProfileData.from_file(str(path)))
    origins = hlo.paths(code)
    sums: dict[tuple[str, str, str], float] = collections.defaultdict(float)
    for instruction, duration in seconds.items():
        if not instruction.startswith(CONTAINERS):
            sums[_origin(instruction, origins.get(instruction, ""))] += duration
    total = sum(sums.values())
    return [
        {
            "layer": layer,
            "pass": direction,
            "operation": operation,
            "milliseconds": round(1e3 * duration / STEPS, 2),
            "share": round(duration / total, 4),
        }
        for (layer, direction, operation), duration in sorted(
            sums.items(), key=lambda item: item[1], reverse=True
        )[:SHOWN]
    ]


def _durations(profile: ProfileData) -> dict[str, float]:
    """Returns the seconds of each instruction of the CPU's or a device's executable, summed."""
    begins: dict[Any, tuple[str, float]] = {}
    seconds: dict[str, float] = collections.defaultdict(float)
    ends = {}
    for plane in profile.planes:
        for line in plane.lines:
            for event in line.events:
                stats = dict(event.stats)
                # On the CPU, work on a thread pool begins in one event and ends in another.
                if event.name.startswith("end: "):
                    ends[stats["_c"]] = event.end_ns
                elif "hlo_op" in stats:
                    seconds[event.name] += event.duration_ns / 1e9
                    begins[stats.get("_p")] = (event.name, event.end_ns)
    for key, (name, before) in begins.items():
        if key in ends:
            seconds[name] += max(0.0, ends[key] - before) / 1e9
    return seconds


def _origin(instruction: str, path: str) -> tuple[str, str, str]:
    """Returns layer, pass and operation of an instruction from the path JAX traced it under."""
    operation = path.split("/")[-1] if path else re.sub(r"[.\d]+$", "", instruction)
    return *hlo.layer_and_pass(path), operation

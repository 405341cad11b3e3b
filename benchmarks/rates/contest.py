"""Interleaved rounds: every contender has its own process, and they run in turns.

If other work slows the machine down, it slows down all contenders; ratios of rates are taken within
each round. A contender's process reads a line of JSON with its task, builds it and warms it up,
answers "ready", then answers every number of seconds it reads with a measurement.
"""

import contextlib
import dataclasses
import json
import logging
import math
import os
import pathlib
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tqdm import tqdm

from benchmarks.rates.workload import Setting
from efficientnet.errors import UserError

log = logging.getLogger(__name__)

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
# How long a contender may take to build, compile and warm up.
START_SECONDS = 600


@dataclasses.dataclass(frozen=True)
class Contender:
    """What to measure.

    Attributes:
      name: of the measurement, unique in a contest.
      build: 'module:function' that takes a `Setting` and the arguments and returns a `Workload`.
      arguments: keyword arguments of the function, JSON.
      labels: more keys and values for its line, such as {"stage": "head"}.
    """

    name: str
    build: str
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)
    labels: dict[str, Any] = dataclasses.field(default_factory=dict)


def contest(
    contenders: Sequence[Contender], setting: Setting, rounds: int, seconds: float
) -> list[dict[str, Any]]:
    """Measures contenders against each other.

    Args:
      contenders: in the order of their turns.
      setting: what they have in common.
      rounds: turns of each.
      seconds: approximate length of a turn, which ends with a whole step.

    Returns:
      A dict each: `images_per_second` (median over the rounds), `spread` (interquartile range),
      `relative` (the rate as a multiple of each other contender's, median over the rounds),
      `ready_seconds` (from the start of its process to the end of the third step), and what
      `Workload.describe` returns. A contender that can't run is left out, with a warning.
    """
    with contextlib.ExitStack() as stack:
        running = []
        for contender in tqdm(contenders, desc="starting", unit="contender", leave=False):
            process = stack.enter_context(_Process(contender, setting))
            try:
                process.start()
            except UserError as error:
                log.warning("%s", error)
            else:
                running.append(process)
        rates: dict[str, list[float]] = {process.contender.name: [] for process in running}
        for _ in tqdm(range(rounds), desc="measuring", unit="round", leave=False):
            for process in running:
                images, passed = process.turn(seconds)
                rates[process.contender.name].append(images / passed)
        results = [process.describe() for process in running]
    return [
        {
            "contender": process.contender.name,
            **process.contender.labels,
            "images_per_second": round(statistics.median(own), 2),
            "spread": round(_interquartile_range(own), 2),
            "rounds": rounds,
            "relative": {
                name: round(statistics.median(a / b for a, b in zip(own, others, strict=True)), 4)
                for name, others in rates.items()
                if others is not own
            },
            "ready_seconds": round(process.ready_seconds, 1),
            **description,
        }
        for process, own, description in zip(running, rates.values(), results, strict=True)
    ]


def _interquartile_range(values: Sequence[float]) -> float:
    if len(values) == 1:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return high - low


class _Process(contextlib.AbstractContextManager["_Process"]):
    """The process of a contender, seen from the benchmark."""

    def __init__(self, contender: Contender, setting: Setting) -> None:
        self.contender = contender
        self.ready_seconds = math.nan
        self._setting = setting

    def __enter__(self) -> "_Process":
        self._log = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.rates.contender"],
            cwd=CHECKOUT,
            # JAX would take most of a GPU's memory at once, and the others would have none.
            env={**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def start(self) -> None:
        """Waits until the contender is ready; raises a `UserError` if it can't run."""
        contender = self.contender
        task = {
            "build": contender.build,
            "setting": dataclasses.asdict(self._setting),
            "arguments": contender.arguments,
        }
        begin = time.perf_counter()
        self._ask(task, START_SECONDS)
        self.ready_seconds = time.perf_counter() - begin

    def turn(self, seconds: float) -> tuple[int, float]:
        """Runs it for some seconds; returns images and seconds."""
        images, passed = self._ask(seconds)
        return images, passed

    def describe(self) -> dict[str, Any]:
        """Returns its description, see `Workload.describe`."""
        return self._ask("describe")

    def _ask(self, what: Any, patience: float | None = None) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(what) + "\n")
            self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], patience)[0]:
            raise UserError(f"{self.contender.name} was not ready within {patience} s: left out")
        answer = self._process.stdout.readline()
        if not answer:
            self._log.seek(0)
            reason = next(_lines_from_the_end(self._log), "no reason given")
            raise UserError(f"{self.contender.name} can't run: {reason}")
        return json.loads(answer)


def _lines_from_the_end(lines: Iterable[str]) -> Iterator[str]:
    return (line.strip() for line in reversed(list(lines)) if line.strip())

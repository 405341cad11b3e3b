"""Kills a training run again and again, and compares it bit by bit with an undisturbed run.

    python benchmarks/chaos.py --kills=20 --json

Runs train.py with chaos_recipe.py on a few real photos, first without disturbance. Then each start
is killed at a random moment: while the run starts, compiles, trains, saves or evaluates, or later.
The signal is SIGKILL, or SIGTERM, after which the run must end by itself with its own exit status.
The exit status of this command is 1 if anything differs. With --bucket the runs write to a bucket,
which tests the bucket before a long run.
"""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orbax.checkpoint as ocp
from etils import epath

import input_pipeline
from benchmarks import saved_runs
from efficientnet.commands import command_line
from efficientnet.errors import UserError
from efficientnet.runtime import preemption

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
TRAIN_PHOTOS, TEST_PHOTOS = 43, 21
# Limits for starting a run and for its end after SIGTERM: many times what they usually take.
START_SECONDS, END_SECONDS = 600, 120
# Timings may differ, and each run has its own id and starts; everything else must be equal.
OWN = ("seconds", "images_per_second", "timed_images", "timed_seconds", "provenance")


def main(arguments: Sequence[str]) -> None:
    """Parses the arguments, kills, compares and reports."""
    parser = command_line.parser(__doc__)
    parser.add_argument("--kills", type=int, default=20, help="number of kills")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    parser.add_argument(
        "--folder", help="a folder that keeps all files; by default a temporary one"
    )
    parser.add_argument("--bucket", help="gs://BUCKET/FOLDER for the workdirs; by default --folder")
    options = parser.parse_args(arguments)
    command_line.check_positive(options, "kills")
    # Otherwise the training run would outlive this script.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        folder = pathlib.Path(options.folder or temporary)
        workdirs = epath.Path(options.bucket or folder)
        result = chaos(folder, workdirs, options.kills, random.Random(options.seed))
    if options.json:
        command_line.print_json(result)
    if result["bits_differ"] or result["differences"]:
        raise UserError("a killed run did not end like the undisturbed one: see above")


def chaos(
    folder: pathlib.Path, workdirs: epath.Path, kills: int, rng: random.Random
) -> dict[str, Any]:
    """Runs everything, with photos and logs in one folder and workdirs in another.

    Returns:
      The result for `--json`.

    Raises:
      UserError: the folder of the workdirs already holds runs.
    """
    if (workdirs / "whole").exists():
        raise UserError(f"{workdirs} already holds runs: choose another folder, or remove it")
    began = time.monotonic()
    _write_photos(folder / "photos")
    # Long enough for all kills in one run, with a few steps between two of them.
    run = Run(folder, workdirs, epochs=max(2, kills // 3))
    say("the undisturbed run")
    run.finish("whole")
    say(f"... took {time.monotonic() - began:.0f} s")
    counted: Counter[str] = Counter()
    killed: list[str] = []
    while sum(counted.values()) < kills:
        killed.append(f"killed{len(killed)}")
        while sum(counted.values()) < kills:
            moment = rng.choice(list(MOMENTS))
            number = rng.choice((signal.SIGKILL, signal.SIGTERM))
            outcome = run.kill(killed[-1], moment, number, rng)
            if outcome is None:  # it had finished before
                break
            counted[f"{number.name} {moment}"] += 1
            say(f"{sum(counted.values())}: {number.name} at {moment}, {outcome}")
        run.finish(killed[-1])
    bits, differences = 0, []
    for name in killed:
        more, found = compare(workdirs / "whole", workdirs / name)
        bits += more
        differences += [f"{name}: {difference}" for difference in found]
    for difference in differences:
        say(difference)
    say(f"kills: {kills}, runs: {len(killed)}, bits that differ: {bits}")
    return {
        "kills": sum(counted.values()),
        "bits_differ": bits,
        "differences": differences,
        "runs": len(killed),
        "moments": dict(sorted(counted.items())),
        "seconds": round(time.monotonic() - began),
    }


def _write_photos(folder: pathlib.Path) -> None:
    """Writes a few solar cells into class folders."""
    source = input_pipeline.load_source("elpv")
    for name, count in (("train", TRAIN_PHOTOS), ("test", TEST_PHOTOS)):
        split = source.splits[name]
        for index in range(count):
            path = folder / name / source.class_names[split.labels[index]] / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(split.read(index))


class Run:
    """The training command that is killed."""

    def __init__(self, folder: pathlib.Path, workdirs: epath.Path, epochs: int) -> None:
        self._folder, self._workdirs = folder, workdirs
        self._config = [
            f"--config=benchmarks/chaos_recipe.py:{epochs}",
            f"--config.data.directory={folder / 'photos'}",
        ]

    def _start(self, workdir: str) -> subprocess.Popen[bytes]:
        environment = os.environ | {
            "JAX_COMPILATION_CACHE_DIR": str(self._folder / "xla"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        command = [sys.executable, "train.py", *self._config]
        with self._log(workdir).open("ab") as log:
            return subprocess.Popen(
                [*command, f"--workdir={self._workdirs / workdir}"],
                cwd=CHECKOUT,
                env=environment,
                stdout=log,
                stderr=log,
            )

    def _log(self, workdir: str) -> pathlib.Path:
        return self._folder / f"{workdir}.log"

    def _last(self, workdir: str) -> str:
        return self._log(workdir).read_text()[-500:]

    def finish(self, workdir: str) -> None:
        """Runs it to the end."""
        process = self._start(workdir)
        try:
            status = process.wait()
        finally:
            process.kill()
        if status:
            raise UserError(f"train.py failed with status {status}: {self._last(workdir)}")

    def kill(
        self, workdir: str, moment: str, number: signal.Signals, rng: random.Random
    ) -> str | None:
        """Starts it, kills it, and returns how it ended, or None if it had already finished."""
        offset = self._log(workdir).stat().st_size if self._log(workdir).exists() else 0
        before = _written(self._workdirs / workdir)
        sign, delay = MOMENTS[moment]
        process = self._start(workdir)
        try:
            deadline = time.monotonic() + START_SECONDS
            while process.poll() is None and time.monotonic() < deadline:
                said = self._log(workdir).read_bytes()[offset:].decode(errors="replace")
                new = _written(self._workdirs / workdir) - before
                if sign in said or sign in {kind for kind, _ in new}:
                    time.sleep(rng.uniform(0, delay))
                    break
                time.sleep(0.01)
            if process.poll() is not None:
                if process.returncode:
                    raise UserError(
                        f"train.py ended by itself with status {process.returncode}: "
                        f"{self._last(workdir)}"
                    )
                return None
            sent = time.monotonic()
            process.send_signal(number)
            status = process.wait(timeout=END_SECONDS)
        finally:
            process.kill()
        # While Python starts or ends, the signal itself ends the process.
        outside = moment == "start" or (self._workdirs / workdir / "summary.json").exists()
        ends = {preemption.STOPPED, 0, *((-signal.SIGTERM,) if outside else ())}
        if number == signal.SIGTERM and status not in ends:
            raise UserError(
                f"after SIGTERM train.py ended with status {status}: {self._last(workdir)}"
            )
        return f"status {status} after {time.monotonic() - sent:.1f} s"


# For each moment, what shows that the run has reached it (words in its log, or a kind of checkpoint
# that did not exist when it started), and up to how many seconds later it is killed. The best
# weights are written right after the validation of an epoch.
MOMENTS: Mapping[str, tuple[str, float]] = {
    "start": ("", 15.0),
    "compile": ("parameters train", 4.0),
    "step": ("SAVED", 0.3),
    "save": ("SAVING", 0.02),
    "evaluation": ("SAVING BEST", 0.1),
    "stage change": ("test top-1", 3.0),
    "later": ("SAVED", 8.0),
}


def _written(workdir: epath.Path) -> set[tuple[str, str]]:
    """Returns kind and name of each checkpoint, including unfinished ones of killed runs."""
    folder = workdir / "checkpoints"
    latest, best = folder / "latest", folder / "best"
    found = set()
    if latest.exists():
        found |= {("SAVED", str(step)) for step in ocp.utils.checkpoint_steps(latest)}
        found |= {("SAVING", name) for name in _unfinished(latest)}
    for stage in best.iterdir() if best.exists() else ():
        found |= {("SAVING BEST", name) for name in _unfinished(stage)}
    return found


def _unfinished(folder: epath.Path) -> set[str]:
    return {str(temporary.get_final()) for temporary in ocp.utils.tmp_checkpoints(folder)}


def compare(whole: epath.Path, killed: epath.Path) -> tuple[int, list[str]]:
    """Compares the results of two runs.

    Returns:
      How many bits of all arrays differ (all bits of an array that only one run has), and a line
      for each array, summary or curve that differs.
    """
    arrays = [saved_runs.read_arrays(run / "checkpoints") for run in (whole, killed)]
    bits, lines = 0, []
    for name in sorted({*arrays[0], *arrays[1]}):
        images = [
            np.frombuffer(run[name].tobytes() if name in run else b"", np.uint8) for run in arrays
        ]
        if images[0].size == images[1].size:
            differ = int(np.unpackbits(images[0] ^ images[1]).sum())
        else:
            differ = 8 * max(image.size for image in images)
        if differ:
            bits += differ
            lines.append(f"{differ} bits of {name}")
    summaries = [
        _without_own(json.loads((run / "summary.json").read_text())) for run in (whole, killed)
    ]
    if summaries[0] != summaries[1]:
        lines.append("summary.json")
    drawn = [saved_runs.read_curves(run / "tensorboard") for run in (whole, killed)]
    for name in sorted({*drawn[0], *drawn[1]}):
        points = [run.get(name, []) for run in drawn]
        if name.endswith("images_per_second"):
            points = [[(step, b"") for step, _ in run] for run in points]
        if points[0] != points[1]:
            lines.append(f"the curve {name}")
    return bits, lines


def _without_own(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_own(v) for key, v in value.items() if key not in OWN}
    if isinstance(value, list):
        return [_without_own(entry) for entry in value]
    return value


def say(text: str) -> None:
    """Prints progress for people."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(command_line.run(main))

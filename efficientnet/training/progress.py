"""Where a run stands: the host's part of a checkpoint, and the line that shows it."""

import dataclasses
import sys
import time
from typing import Any

from tqdm import tqdm

from efficientnet.training.monitoring import Monitor


@dataclasses.dataclass
class Progress:
    """The host's state, all of it JSON; the arrays are in `steps.TrainState`."""

    stage: int = 0  # index of the running stage
    step: int = 0  # steps of the running stage that are done
    steps_before: int = 0  # steps of the stages before
    best: dict[str, Any] | None = None  # the running stage's best epoch, an entry of `history`
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)  # one entry an epoch
    finished: list[dict[str, Any]] = dataclasses.field(default_factory=list)  # stage summaries
    monitor: Monitor = dataclasses.field(default_factory=Monitor)  # the running stage's
    skipped: int = 0  # steps of the running stage whose loss was not finite
    unreadable: list[str] = dataclasses.field(default_factory=list)  # training photos skipped
    seconds: float = 0.0  # of wall clock in the running stage, over all restarts
    timed_images: int = 0  # photos trained on while the clock below ran
    timed_seconds: float = 0.0  # training alone: without compilation and evaluation

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> "Progress":
        """Returns what `to_json` was called on."""
        return cls(**{**saved, "monitor": Monitor(**saved["monitor"])})

    def to_json(self) -> dict[str, Any]:
        """Returns a copy made of JSON types."""
        return dataclasses.asdict(self)

    @property
    def global_step(self) -> int:
        """Steps done over all stages, the time axis of every curve."""
        return self.steps_before + self.step

    @property
    def images_per_second(self) -> float:
        """Rate of the running stage's training steps; 0.0 before two of them were timed."""
        return self.timed_images / self.timed_seconds if self.timed_images else 0.0

    @property
    def validated(self) -> bool:
        """Whether the epoch that ends with this step is in the history already."""
        return bool(self.history) and self.history[-1]["step"] == self.global_step

    def finish_stage(self, summary: dict[str, Any]) -> None:
        """Moves on to the next stage."""
        self.finished.append(summary)
        self.steps_before += self.step
        self.stage += 1
        self.step, self.best, self.monitor, self.skipped = 0, None, Monitor(), 0
        self.seconds, self.timed_images, self.timed_seconds = 0.0, 0, 0.0


class Stopwatch:
    """Keeps a progress's times: the wall clock, and that of the training steps alone."""

    def __init__(self, progress: Progress, batch_size: int) -> None:
        self._progress = progress
        self._batch_size = batch_size
        self._wall = self._train = self._recent = time.monotonic()
        self._recent_images = 0
        self.running = False

    def step_done(self) -> None:
        """Counts a step, or starts the clock where it does not run."""
        if self.running:
            self._progress.timed_images += self._batch_size
            self._recent_images += self._batch_size
        else:
            self.start()

    def start(self) -> None:
        """Starts timing training steps."""
        self.running = True
        self._train = self._recent = time.monotonic()
        self._recent_images = 0

    def stop(self) -> None:
        """Stops timing training steps, because something else comes."""
        now = time.monotonic()
        if self.running:
            self._progress.timed_seconds += now - self._train
        self.running = False
        self.lap()

    def lap(self) -> None:
        """Adds the wall clock since the last lap to the progress."""
        now = time.monotonic()
        self._progress.seconds += now - self._wall
        self._wall = now

    def recent_rate(self) -> float:
        """Returns photos per second since the last call."""
        now = time.monotonic()
        rate = self._recent_images / max(now - self._recent, 1e-9)
        self._recent, self._recent_images = now, 0
        return rate


class _Lines:
    """Writes tqdm's redrawn line as lines of their own, for logs and pipes."""

    def write(self, text: str) -> None:
        sys.stderr.write(text.replace("\r", "\n"))

    def flush(self) -> None:
        sys.stderr.flush()


def progress_line(title: str, images: int, done: int = 0, hidden: bool = False) -> tqdm:
    """Returns a tqdm bar over the photos of a stage, with rate and time left.

    It redraws itself on a terminal; elsewhere it prints a line every ten seconds.
    """
    terminal = sys.stderr.isatty()
    return tqdm(
        desc=title,
        total=images,
        initial=done,
        disable=hidden,
        unit=" photos",
        file=sys.stderr if terminal else _Lines(),
        mininterval=0.2 if terminal else 10.0,
        ncols=None if terminal else 100,
        ascii=None if terminal else True,
    )

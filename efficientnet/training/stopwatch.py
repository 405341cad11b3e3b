"""The time that a stage takes, and the rate of its training steps."""

import time

from efficientnet.records import Progress


class Stopwatch:
    """Measures a stage's wall clock time, and the time of the training steps alone.

    Its attributes are those of `Progress`, from whose values it continues.
    """

    def __init__(self, progress: Progress, batch_size: int) -> None:
        self.seconds = progress.seconds
        self.timed_images, self.timed_seconds = progress.timed_images, progress.timed_seconds
        self.running = False
        self._batch_size = batch_size
        self._wall = self._began = time.monotonic()
        self._recent = self.timed_images, self.timed_seconds

    def step_done(self) -> None:
        """Counts a step, or starts the clock if it is not running."""
        if self.running:
            self.timed_images += self._batch_size
        else:
            self.start()

    def start(self) -> None:
        """Starts timing training steps."""
        self.running = True
        self._began = time.monotonic()

    def stop(self) -> None:
        """Stops timing training steps, before anything else is done."""
        if self.running:
            self.timed_seconds += time.monotonic() - self._began
        self.running = False

    def lap(self) -> None:
        """Updates the seconds of wall clock time."""
        now = time.monotonic()
        self.seconds += now - self._wall
        self._wall = now

    def recent_rate(self) -> float:
        """Returns images per second of the training steps since the last call; while running."""
        images, seconds = self._recent
        now = self.timed_seconds + time.monotonic() - self._began
        self._recent = self.timed_images, now
        return (self.timed_images - images) / max(now - seconds, 1e-9)

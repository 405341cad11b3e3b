"""What all trackers have in common: every point of a curve is sent once, and none is lost."""

import concurrent.futures
import logging
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

import jax
import numpy as np
from clu import metric_writers
from etils import epath

from efficientnet.runtime.provenance import Provenance

log = logging.getLogger(__name__)


class Point(NamedTuple):
    """A point of a curve."""

    step: int
    name: str  # of the split and the metric, such as 'train/loss'
    value: Any  # a number, or an array of one that is still being computed
    time: float  # of the clock, seconds

    @property
    def number(self) -> float:
        """The value as a number."""
        return float(np.asarray(self.value).reshape(()))


class Service(Protocol):
    """A run in a tracker. All methods may raise any exception of the tracker's package."""

    ADVICE: ClassVar[str]  # what to do if the tracker can't be used

    def __init__(self, folder: epath.Path, origin: Provenance) -> None:
        """Opens the run of this id in the tracker; makes it if it isn't there."""

    @staticmethod
    def check() -> None:
        """Asks the tracker for a sign of life."""

    def describe(self, hyperparameters: Mapping[str, Any]) -> None:
        """Sets the hyperparameters, by their full names."""

    def last_step(self, name: str) -> int:
        """Returns the last step of a curve that the tracker has; -1 if it has none."""

    def send(self, points: Sequence[Point], last: bool) -> None:
        """Sends points in the order of their steps; `last` if no more will come."""

    def add_report(self, page: epath.Path) -> None:
        """Adds the page of the finished run, in place of an earlier one."""

    def close(self, finished: bool) -> None:
        """Ends the connection of a run that is finished, or that will be resumed."""


class Tracker(metric_writers.MetricWriter):
    """Sends scalars and hyperparameters to a tracker; images and histograms are for TensorBoard.

    A thread sends the points at each `flush`, so that training never waits. A run that is resumed
    gives all points up to its checkpoint to `catch_up`. Of these, and of those of the steps that
    are trained again, only what lies behind the tracker's own last step of a curve is sent. So
    neither a kill nor a server that is away for a while leaves gaps or doubled points.
    """

    def __init__(self, name: str, service: Service) -> None:
        self._name = name
        self._service = service
        self._points: list[Point] = []  # since the last flush
        self._sender = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix=name)
        self._finished = False
        # The sending thread's own:
        self._hyperparameters: Mapping[str, Any] | None = None
        self._unsent: list[Point] = []
        self._last_steps: dict[str, int] = {}
        self._answers = True

    def catch_up(self, points: Iterable[Point]) -> None:
        """Takes the points that the run had drawn when it was resumed."""
        self._points.extend(points)

    def write_scalars(self, step: int, scalars: Mapping[str, Any]) -> None:
        """See `MetricWriter`."""
        now = time.time()
        self._points.extend(Point(step, name, value, now) for name, value in scalars.items())

    def write_hparams(self, hparams: Mapping[str, Any]) -> None:
        """See `MetricWriter`."""
        leaves = jax.tree_util.tree_leaves_with_path(hparams, is_leaf=lambda value: value is None)
        self._hyperparameters = {
            jax.tree_util.keystr(path, simple=True, separator="."): value for path, value in leaves
        }

    def flush(self) -> None:
        """Lets the thread send everything that was written."""
        points, self._points = self._points, []
        self._sender.submit(self._send, points)

    def finish(self, step: int, scalars: Mapping[str, float], page: epath.Path) -> None:
        """Sends the results of a finished run and its page, and waits for that."""
        self.write_scalars(step, scalars)
        self._sender.submit(self._send, self._points, last=True)
        self._points = []
        self._sender.submit(self._try, self._service.add_report, page).result()
        self._finished = True

    def close(self) -> None:
        """Ends; what a run has not sent when it stops is sent when it is resumed."""
        self._sender.shutdown(cancel_futures=True)
        if self._answers:
            self._try(self._service.close, self._finished)

    def _send(self, points: Iterable[Point], last: bool = False) -> None:
        self._unsent += points
        if not self._try(self._send_rest, last):
            self._last_steps = {}  # some points may have come through
        elif not self._answers:
            log.info("%s answers again, and has everything now", self._name)
            self._answers = True

    def _send_rest(self, last: bool) -> None:
        if self._hyperparameters is not None:
            self._service.describe(self._hyperparameters)
            self._hyperparameters = None
        known = self._last_steps
        for name in {point.name for point in self._unsent} - known.keys():
            known[name] = self._service.last_step(name)
        new = [point for point in self._unsent if point.step > known[point.name]]
        new.sort(key=lambda point: point.step)
        self._service.send(new, last)
        known.update((point.name, point.step) for point in new)
        self._unsent = []

    def _try(self, call: Any, *arguments: Any) -> bool:
        """Calls; if that fails, logs it once and returns False."""
        try:
            call(*arguments)
        except Exception as error:
            if self._answers:
                log.warning(
                    "%s fails (%s): the run goes on, and sends what is missing when it can",
                    self._name,
                    reason(error),
                )
            self._answers = False
            return False
        return True

    def _ignore(self, *_: object, **__: object) -> None:
        """Does nothing: these are for TensorBoard."""

    write_summaries = write_images = write_videos = _ignore
    write_audios = write_texts = write_histograms = _ignore


def reason(error: Exception) -> str:
    """Returns the first line of an error, without the password that an address may contain."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
    return re.sub(r"//[^/@\s]+@", "//", text)


def described(origin: Provenance) -> dict[str, str]:
    """Returns what a tracker shows of the origin of a run's results, by name."""
    latest = origin.latest
    return {
        "run_id": origin.run_id,
        "code": latest.code,
        "command": origin.commands[-1],
        "started": origin.starts[0].date,
        "starts": str(len(origin.starts)),
        "host": origin.starts[-1].host,
        "devices": latest.devices,
        "python": latest.python,
        "jax": latest.packages.get("jax", ""),
        "data_digest": origin.data_digest,
        "weights": str(origin.weights or ""),
    }

"""SIGTERM and Ctrl-C: save at the next step and end, or end at once where nothing would be lost."""

import contextlib
import os
import signal
import socket
import sys
import threading
from typing import Any, NoReturn

# EX_TEMPFAIL of sysexits.h: the same command again goes on.
STOPPED = 75
SIGNALS = (signal.SIGTERM, signal.SIGINT)
# How long a step, or an evaluation between two steps, may take before the run ends without a save.
# A preempted machine of Google Cloud is switched off 30 seconds after the signal.
PATIENCE_SECONDS = 15.0


def hold_signals() -> None:
    """Lets signals wait, over an exec too, until a `Stop` listens; Windows has no such thing."""
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def _release_signals() -> None:
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


class Stopped(Exception):  # noqa: N818 (no error)
    """The run has saved its state and ends, because it was told to."""


class Stop(contextlib.AbstractContextManager["Stop"]):
    """Listens for the signals that ask a run to stop; a second one ends the process at once.

    Listening has a thread of its own, because the main one answers no signal while it compiles.
    A `Stop` within another takes its place until it ends.

    Args:
      alone: no other process waits for this one.

    Attributes:
      safe: all that is done so far is on the disk, so that a process that is alone may end.
      saving: the loop has noticed, and needs the time that a save takes.
    """

    def __init__(self, alone: bool = True) -> None:
        self._requested = threading.Event()
        self._alone = alone
        self.safe = True
        self.saving = False
        self._handlers: dict[signal.Signals, Any] = {}
        self._timer: threading.Timer | None = None

    def __enter__(self) -> "Stop":
        """Begins to listen; outside the main thread, where Python forbids it, does nothing."""
        if threading.current_thread() is not threading.main_thread():
            return self
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        # A handler must be there for Python to write the signal's number to the socket.
        self._handlers = {number: signal.signal(number, _ignore) for number in SIGNALS}
        threading.Thread(target=self._listen, name="signals", daemon=True).start()
        _release_signals()
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves the signals as they were."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self._handlers:
            signal.set_wakeup_fd(self._wakeup)
            self._writer.close()
            self._handlers = {}
        if self._timer:
            self._timer.cancel()

    @property
    def requested(self) -> bool:
        """A signal has come."""
        return self._requested.is_set()

    def _listen(self) -> None:
        with self._reader:
            while number := self._reader.recv(1):
                if number[0] in SIGNALS:
                    self._receive(signal.Signals(number[0]))

    def _receive(self, number: signal.Signals) -> None:
        if self.requested:
            end_at_once(128 + number, f"\n{number.name} again: ending without saving")
        if self.safe and self._alone:
            end_at_once(STOPPED, f"\n{number.name}: stopped; the same command resumes")
        print(f"\n{number.name}: saving after this step, then stopping", file=sys.stderr)
        self._start_timer()
        # Last, so that whoever leaves upon it finds the timer to cancel.
        self._requested.set()

    def renew_patience(self) -> None:
        """Waits anew: a step has ended, though perhaps not yet the one that all will save after."""
        if self._timer:
            self._timer.cancel()
            self._start_timer()

    def _start_timer(self) -> None:
        self._timer = threading.Timer(PATIENCE_SECONDS, self._lose_patience)
        self._timer.daemon = True
        self._timer.start()

    def _lose_patience(self) -> None:
        if not self.saving:
            end_at_once(
                STOPPED,
                f"\nno step ended within {PATIENCE_SECONDS:.0f} s: stopped without a new "
                "checkpoint; the same command resumes from the last one",
            )


class Interrupt(Stop):
    """Listens for Ctrl-C in a program of the user's, such as a notebook, which must not be ended.

    Ctrl-C asks the run to save and to stop; where nothing would be lost, or the second time, it is
    the `KeyboardInterrupt` that it always is.
    """

    def __enter__(self) -> "Interrupt":
        """Begins to listen; outside the main thread, where Python forbids it, does nothing."""
        if threading.current_thread() is threading.main_thread():
            self._handlers = {signal.SIGINT: signal.signal(signal.SIGINT, self._interrupted)}
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves the signal as it was."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def _interrupted(self, *_: object) -> None:
        if self.requested or self.safe:
            raise KeyboardInterrupt
        print("saving after this step, then stopping; again: stopping at once", file=sys.stderr)
        self._requested.set()


def end_at_once(status: int, message: str) -> NoReturn:
    """Ends the process without waiting for any thread, which may never end."""
    print(message, file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(status)


def _ignore(*_: object) -> None:
    """Takes the place of Python's own handlers; `Stop` reads the signal from its socket."""

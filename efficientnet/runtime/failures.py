"""What can go wrong during a run, each in one sentence that says what to do."""

import contextlib
import errno
import logging
import os
import sys
from collections.abc import Iterator
from typing import Any

import jax
from clu.asynclib import AsyncError
from etils import epath

from efficientnet import errors
from efficientnet.errors import UserError
from efficientnet.paths import is_in_bucket, unreachable

RESUME = "what is saved is intact, and the same command resumes from there"
DISK = {
    errno.ENOSPC: f"the disk is full: make room, {RESUME}",
    errno.EDQUOT: f"the disk quota is used up: make room, {RESUME}",
    errno.EFBIG: f"a file has reached the largest size allowed: raise the limit, {RESUME}",
    errno.EROFS: f"the disk is read-only: make it writable or choose another --workdir, {RESUME}",
    errno.EACCES: "it is not permitted: change its permissions or choose another --workdir",
    errno.EPERM: "it is not permitted: change its permissions or choose another --workdir",
    errno.EIO: f"the disk doesn't respond: check it, {RESUME}",
    errno.ESTALE: f"the network disk is gone: mount it again, {RESUME}",
}
WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)  # reading has no such errors
# The same errors in the words of libraries that give no errno.
WORDS = {os.strerror(number).lower(): number for number in DISK}
# Words in the errors of collectives and of the coordination service when a process has ended.
GONE = ("gloo", "connection closed by peer", "connection reset", "coordination", "heartbeat")


def silence_failed_saves() -> None:
    """Hides the hundreds of errors that Orbax logs after the one that a failed save raises."""
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    logging.getLogger("absl").addFilter(lambda record: not record.exc_info)

    def show(raised: Any) -> None:
        if str(raised.exc_value) != "Event loop is closed":  # of abandoned writes
            sys.__unraisablehook__(raised)

    sys.unraisablehook = show


def explained(workdir: epath.Path, lock: str) -> contextlib.AbstractContextManager[None]:
    """Turns what can happen to a run, other than a bug in the program, into a `UserError`.

    Args:
      workdir: the run's folder.
      lock: name of a file in it; on a disk, the folder has vanished when this file has.
    """
    return errors.explained(lambda error: explain(error, workdir, lock))


def explain(error: BaseException, workdir: epath.Path, lock: str) -> str | None:
    """Returns a sentence about an error, or None if it is not one that a user can fix."""
    # The first error caused the others, such as a failure to close a file that failed to write.
    causes = list(reversed(list(_chain(error))))
    for cause in causes:
        if isinstance(cause, UserError):
            return str(cause)
    written = any(isinstance(cause, AsyncError) for cause in causes)
    for cause in causes:
        sentence = _explain(cause, workdir, lock, written)
        if sentence:
            return sentence
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _explain(
    error: BaseException, workdir: epath.Path, lock: str, logs_written: bool
) -> str | None:
    text = str(error)
    first = text.splitlines()[0][:200] if text else type(error).__name__
    if isinstance(error, MemoryError):
        return (
            "the host is out of memory: lower config.batch_size or config.resolution, or close "
            f"other programs; {RESUME}"
        )
    words = text.lower()
    if isinstance(error, jax.errors.JaxRuntimeError):
        if "resource_exhausted" in words or "out of memory" in words:
            return (
                "the device is out of memory: lower config.batch_size or config.resolution, or "
                f"raise micro_batches of the stage ({first})"
            )
        if jax.process_count() > 1 and any(word in words for word in GONE):
            return f"another process of this run has ended: {RESUME}, on every host ({first})"
    sentence = unreachable(error)
    if sentence:
        return f"{sentence}; {RESUME}"
    number = error.errno if isinstance(error, OSError) else None
    number = number or next((n for word, n in WORDS.items() if word in words), None)
    # TensorFlow reads photos, and in another thread writes logs.
    of_photos = type(error).__module__.startswith("tensorflow") and not logs_written
    if number in DISK and (number in WRITING or not of_photos):
        name = getattr(error, "filename", None) or workdir
        how = "written" if number in WRITING else "read or written"
        return f"{name} can't be {how}, {DISK[number]}"
    if not _exists(workdir, lock):
        return f"the workdir {workdir} has vanished: put it back, and the same command resumes"
    if of_photos:
        return f"the photos can no longer be read: {RESUME} ({first})"
    if isinstance(error, AsyncError):
        return f"writing the TensorBoard logs below {workdir} failed: {RESUME} ({first})"
    return None


def _exists(workdir: epath.Path, lock: str) -> bool:
    """Whether this is still the locked folder; a save may have made a new one in its place."""
    try:
        return is_in_bucket(workdir) or (workdir / lock).exists()
    except OSError:
        return False

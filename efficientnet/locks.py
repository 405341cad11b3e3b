"""Locks against other processes: the one place that needs another module on Windows."""

import errno
import logging
import os
import sys
from typing import IO, Any

log = logging.getLogger(__name__)

# Of file systems that have no locks, such as some network drives.
UNKNOWN = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)

if sys.platform == "win32":
    import msvcrt

    TAKEN = (errno.EACCES, errno.EDEADLK)
    # Windows keeps others from reading what is locked: a byte far behind the end of any lock file.
    BYTE = 1 << 30

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    TAKEN = (errno.EAGAIN, errno.EACCES)

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def lock(file: IO[Any]) -> bool:
    """Locks an open file until it is closed, or the process ends; returns False if another has it.

    Where the file system has no locks, logs a warning and returns True.
    """
    try:
        _lock(file.fileno())
    except OSError as error:
        if error.errno in TAKEN:
            return False
        if error.errno not in UNKNOWN:
            raise
        log.warning(
            "%s lies where files can't be locked: nothing keeps a second process from the same "
            "files, so start none",
            file.name,
        )
    return True

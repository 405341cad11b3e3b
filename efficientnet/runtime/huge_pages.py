"""Huge pages for the memory that XLA allocates and frees at every step on a CPU.

The temporary buffer of a training step takes gigabytes. In pages of 4 KiB, every allocation of it
costs a page fault per page; in pages of 2 MiB there are hardly any.
"""

import ctypes
import os
import sys

_VARIABLE = "GLIBC_TUNABLES"
_SETTING = "glibc.malloc.hugetlb=1"


def restart_with_huge_pages() -> None:
    """Restarts the running program with huge pages, because glibc reads the setting at the start.

    Does nothing if `GLIBC_TUNABLES` is already set, or if the system is not Linux.
    """
    if sys.platform == "linux" and _VARIABLE not in os.environ:
        os.execve(sys.executable, sys.orig_argv, {**os.environ, _VARIABLE: _SETTING})


def release_free_memory() -> None:
    """Returns freed memory that glibc keeps to the system: a gigabyte after compiling."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none
        if trim is not None:
            trim(0)

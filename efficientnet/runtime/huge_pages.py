"""The memory that XLA allocates and frees at every step on a CPU, and when it compiles.

A training step's temporary buffer is gigabytes in pages of 4 KiB, each of which costs a fault
whenever the buffer is allocated anew; in pages of 2 MiB these faults all but vanish.
"""

import ctypes
import os
import sys

_VARIABLE = "GLIBC_TUNABLES"
_SETTING = "glibc.malloc.hugetlb=1"


def restart_with_huge_pages() -> None:
    """Starts the running program over with huge pages, once; glibc reads the setting only then.

    It does nothing where `GLIBC_TUNABLES` is set already, or on another system than Linux.
    """
    if sys.platform == "linux" and _VARIABLE not in os.environ:
        os.execve(sys.executable, sys.orig_argv, {**os.environ, _VARIABLE: _SETTING})


def release_free_memory() -> None:
    """Gives the system back what glibc keeps of freed memory: after compiling, a gigabyte."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none
        if trim is not None:
            trim(0)

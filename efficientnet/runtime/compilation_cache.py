"""Keeping compiled programs on the disk for the next start."""

import logging
import os

import jax
from etils import epath

from efficientnet.paths import cache_directory, is_in_bucket, make_folder, reaching_buckets

log = logging.getLogger(__name__)

# JAX's default of 1 s leaves out programs that are quick to compile, but of which there are many.
MIN_COMPILE_SECONDS = 0.1


def enable() -> None:
    """Enables JAX's compilation cache, in `xla` in the cache directory (see `cache_directory`).

    JAX identifies a program by its code, its devices and the version of the compiler; if it can't
    read or write an entry, it warns and compiles. The environment variable
    JAX_COMPILATION_CACHE_DIR chooses another folder, which may be in a bucket. On a disk, the
    algorithms that XLA has chosen for a GPU by timing them are kept there too. If no folder can be
    made, every start compiles.

    Raises:
      UserError: the chosen folder is in a bucket that does not exist or can't be reached.
    """
    chosen = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    if chosen:
        if is_in_bucket(chosen):
            with reaching_buckets():
                make_folder(epath.Path(chosen))
            # What XLA itself keeps, such as a GPU's choices of algorithms, it keeps on disks only.
            jax.config.update("jax_persistent_cache_enable_xla_caches", "")
        return
    folder = cache_directory() / "xla"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        log.warning("%s can't be made (%s): every start compiles again", folder, error.strerror)
        return
    if not os.access(folder, os.W_OK):
        log.warning("%s can't be written: programs compiled now are not kept", folder)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", MIN_COMPILE_SECONDS)

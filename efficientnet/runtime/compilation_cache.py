"""What XLA has compiled, kept on the disk for the next start."""

import logging
import os

import jax
from etils import epath

from efficientnet.paths import cache_directory, is_in_bucket, make_folder, reaching_buckets

log = logging.getLogger(__name__)

# JAX's own default of 1 s leaves out what starts a run slowly by its number.
LEAST_COMPILE_SECONDS = 0.1


def enable() -> None:
    """Keeps compiled code in `xla` below the cache directory, see `cache_directory`.

    JAX knows code by what it was compiled from, for which devices and by which version, and where
    it can't read or write an entry, it warns and compiles. A folder that the environment variable
    JAX_COMPILATION_CACHE_DIR names stays; where none can be made, every start compiles.

    Raises:
      UserError: that folder is in a bucket which is not there, or can't be reached.
    """
    chosen = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    if chosen:
        if is_in_bucket(chosen):
            with reaching_buckets():
                make_folder(epath.Path(chosen))
        return
    folder = cache_directory() / "xla"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        log.warning("%s can't be made (%s): every start compiles anew", folder, error.strerror)
        return
    if not os.access(folder, os.W_OK):
        log.warning("%s can't be written: what is compiled now is not kept", folder)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", LEAST_COMPILE_SECONDS)

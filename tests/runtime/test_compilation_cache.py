"""Compiled code on the disk: used by the next start, and never a reason to fail."""

import os
import pathlib
import subprocess
import sys
from typing import Any

import jax
import pytest

from efficientnet.errors import UserError
from efficientnet.runtime import compilation_cache

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
# Prints the cache's hits and misses.
PROGRAM = """
import collections, jax, jax.numpy as jnp
from efficientnet.runtime import compilation_cache
from efficientnet.errors import UserError
compilation_cache.MIN_COMPILE_SECONDS = 0
compilation_cache.enable()
counts = collections.Counter()
jax.monitoring.register_event_listener(lambda name, **_: counts.update([name.split("/")[-1]]))
step = jax.jit(lambda x: jnp.sin(x) @ x, donate_argnums=0)
print(float(step(jnp.ones((64, 64))).sum()), counts["cache_hits"] > 0, counts["cache_misses"] > 0)
"""


def start(cache: pathlib.Path) -> tuple[list[str], str]:
    environment = os.environ | {"EFFICIENTNET_CACHE": str(cache), "JAX_PLATFORMS": "cpu"}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split(), done.stderr


def test_the_second_start_compiles_nothing(tmp_path: pathlib.Path) -> None:
    (first, *counts), _ = start(tmp_path)
    assert counts == ["False", "True"]
    (second, *counts), _ = start(tmp_path)
    assert counts == ["True", "False"]
    assert second == first


def test_damaged_entries_are_compiled_anew(tmp_path: pathlib.Path) -> None:
    (first, *_), _ = start(tmp_path)
    entries = list((tmp_path / "xla").glob("*-cache"))
    assert entries
    for entry in entries:
        entry.write_bytes(entry.read_bytes()[:100])
    (second, *_), warnings = start(tmp_path)
    assert second == first
    assert "Error reading persistent compilation cache" in warnings


def test_a_folder_that_cannot_be_made_is_said_and_done_without(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    (_, hit, _), warnings = start(tmp_path / "file")
    assert hit == "False"
    assert "every start compiles again" in warnings


def test_a_folder_that_is_set_already_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EFFICIENTNET_CACHE", "/nowhere")
    before = jax.config.jax_compilation_cache_dir
    assert before
    compilation_cache.enable()
    assert jax.config.jax_compilation_cache_dir == before


def test_a_bucket_holds_no_caches_of_xla_itself(bucket: Any) -> None:
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_enable_xla_caches")
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update("jax_compilation_cache_dir", str(bucket.root / "xla"))
    try:
        compilation_cache.enable()
        # JAX would pass on gs://name/xla as the path of a folder gs: here.
        assert jax.config.jax_persistent_cache_enable_xla_caches == ""
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


@pytest.mark.usefixtures("bucket")
def test_a_bucket_that_is_not_there_is_named() -> None:
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", "gs://typo/xla")
    try:
        with pytest.raises(UserError, match="there is no bucket gs://typo, check its name"):
            compilation_cache.enable()
    finally:
        jax.config.update("jax_compilation_cache_dir", before)

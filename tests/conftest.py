"""Every test sees eight CPU devices; tests on real photos find them at `../shared`."""

import dataclasses
import logging
import os
import pathlib
import secrets
import threading
from collections.abc import Callable, Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["JAX_PLATFORMS"] = "cpu"

import google_storage
import jax
import numpy as np
import pytest
import tiny as tiny_run
from etils import epath
from ml_collections import ConfigDict

from efficientnet.network.variants import VARIANTS
from input_pipeline.sources import SOURCES

jax.config.update("jax_num_cpu_devices", 8)

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Lets a test that starts a run anew reuse what the same run compiled before."""
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("xla")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


@pytest.fixture(autouse=True)
def root_logger_as_it_was() -> Iterator[None]:
    """Takes away what a command line has set up: its stderr ends with the test."""
    before = list(logging.root.handlers)
    yield
    for handler in set(logging.root.handlers) - set(before):
        if type(handler) is logging.StreamHandler:
            logging.root.removeHandler(handler)


@pytest.fixture
def x() -> np.ndarray:
    """What a layer gets: float32 [8, 6, 5, 4] of mean 1 and standard deviation 2."""
    return np.random.default_rng(0).normal(1, 2, size=(8, 6, 5, 4)).astype(np.float32)


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """The folder of real photos and golden outputs, which the project itself never needs."""
    folder = pathlib.Path(os.environ.get("EFFICIENTNET_SHARED", CHECKOUT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no real photos and goldens at {folder}: set EFFICIENTNET_SHARED to have them")
    return folder


@dataclasses.dataclass(frozen=True)
class Bucket:
    """A bucket as Google's are, of a server on this machine."""

    root: epath.Path
    storage: google_storage.Storage

    def upload(self, path: pathlib.Path, name: str = "") -> epath.Path:
        """Copies a file, or a folder with all below, to `name` or to its own."""
        target = self.root / (name or path.name)
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            for child in path.iterdir():
                self.upload(child, f"{name or path.name}/{child.name}")
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
        return target


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[google_storage.Server]:
    """Takes the place of Google's storage for those whom its `environment` leads there."""
    with google_storage.Server(tmp_path_factory.mktemp("certificate")) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def bucket(
    server: google_storage.Server, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> Iterator[Bucket]:
    """A new and empty bucket; nothing may be written where the test runs."""
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    name = secrets.token_hex(8)
    server.storage.buckets.add(name)
    yield Bucket(epath.Path(f"gs://{name}"), server.storage)
    server.storage.forbidden = ""
    assert not list(here.iterdir())  # a path that was taken for a relative one


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ConfigDict]:
    """Returns a function that makes a recipe: `tiny(stage, ...)`, for variant and source `tiny`."""
    source = tiny_run.tiny_source()
    monkeypatch.setitem(VARIANTS, "tiny", tiny_run.VARIANT)
    monkeypatch.setitem(SOURCES, "tiny", lambda: source)
    return tiny_run.tiny_recipe

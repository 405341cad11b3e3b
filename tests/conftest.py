"""Gives every test eight CPU devices, and finds the real photos at `../shared`."""

import dataclasses
import importlib.util
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
# LLVM's optimizations would take most of the tests' time, and XLA's newer way to LLVM half of the
# rest. XLA makes its own optimizations all the same, and the processes that a test starts compile
# as a user's do, if they are not `quick_processes`.
XLA_FLAGS = os.environ.get("XLA_FLAGS", "")
QUICK = "--xla_backend_optimization_level=0"
if jax.__version_info__ < (0, 11):  # later versions have no other way, and refuse the flag
    QUICK += " --xla_cpu_use_fusion_emitters=false"
os.environ["XLA_FLAGS"] = f"{XLA_FLAGS} {QUICK}"
jax.devices()  # reads them
os.environ["XLA_FLAGS"] = XLA_FLAGS

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts slow tests first, so that no worker waits for another one's slow test at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session", autouse=True)
def caches(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keeps out of the user's cache, and compiles a program once for all tests and workers."""
    os.environ["EFFICIENTNET_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # of all workers
    jax.config.update("jax_compilation_cache_dir", str(folder / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


@pytest.fixture
def quick_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the processes that a test starts compile as the tests do."""
    monkeypatch.setenv("XLA_FLAGS", f"{XLA_FLAGS} {QUICK}")


@pytest.fixture(autouse=True)
def root_logger_as_it_was() -> Iterator[None]:
    """Removes the handlers that a command line has added: its stderr ends with the test."""
    before = list(logging.root.handlers)
    yield
    for handler in set(logging.root.handlers) - set(before):
        if type(handler) is logging.StreamHandler:
            logging.root.removeHandler(handler)


@pytest.fixture
def hide(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Returns a function that makes one package look as if it were not installed."""
    find_spec = importlib.util.find_spec

    def hidden(package: str) -> None:
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda name, *where: None if name == package else find_spec(name, *where),
        )

    return hidden


@pytest.fixture
def x() -> np.ndarray:
    """Input for a layer: float32 [8, 6, 5, 4] with mean 1 and standard deviation 2."""
    return np.random.default_rng(0).normal(1, 2, size=(8, 6, 5, 4)).astype(np.float32)


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """The folder of real photos and golden outputs, which only tests use."""
    folder = pathlib.Path(os.environ.get("EFFICIENTNET_SHARED", CHECKOUT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no real photos and golden outputs at {folder}: set EFFICIENTNET_SHARED")
    return folder


@dataclasses.dataclass(frozen=True)
class Bucket:
    """A bucket on a server on this machine that stands in for Google's."""

    root: epath.Path
    storage: google_storage.Storage

    def upload(self, path: pathlib.Path, name: str = "") -> epath.Path:
        """Copies a file or a whole folder to `name`, by default its own name."""
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
    """A server that replaces Google Cloud Storage for processes with its `environment`."""
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
    """A new, empty bucket; the test must not write to the current folder."""
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    name = secrets.token_hex(8)
    server.storage.buckets.add(name)
    yield Bucket(epath.Path(f"gs://{name}"), server.storage)
    server.storage.forbidden = ""
    assert not list(here.iterdir())  # a bucket's path that was taken for a relative path


@pytest.fixture(scope="module")
def tiny() -> Iterator[Callable[..., ConfigDict]]:
    """Returns a function that makes a recipe, `tiny(stage, ...)`, of variant and source `tiny`."""
    source = tiny_run.tiny_source()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VARIANTS, "tiny", tiny_run.VARIANT)
        patch.setitem(SOURCES, "tiny", lambda: source)
        yield tiny_run.tiny_recipe

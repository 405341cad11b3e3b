"""Every test sees eight CPU devices; tests on real photos find them at `../shared`."""

import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 8)

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Lets a test that starts a run anew reuse what the same run compiled before."""
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("xla")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """The folder of real photos and golden outputs, which the project itself never needs."""
    folder = pathlib.Path(os.environ.get("EFFICIENTNET_SHARED", CHECKOUT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no real photos and goldens at {folder}: set EFFICIENTNET_SHARED to have them")
    return folder

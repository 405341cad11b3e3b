"""GPUs and TPU chips that a run leaves idle, and tasks that would take a GPU that isn't there."""

import pathlib
import socket
from collections.abc import Callable

import jax
import numpy as np
import pytest
from jax._src import hardware_utils
from jax.experimental import multihost_utils

from efficientnet.errors import UserError
from efficientnet.runtime import accelerators

HOST = socket.gethostname()


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Callable[..., None]:
    """Returns a function that makes this host one with GPUs or chips, of which JAX uses some."""
    for name in (*accelerators.LOCAL_NUMBERS, "CUDA_VISIBLE_DEVICES", "JAX_LOCAL_DEVICE_IDS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(accelerators, "GPU_FILES", f"{tmp_path}/nvidia[0-9]*")
    monkeypatch.setattr(accelerators, "_only_cpu_wanted", lambda: False)

    def make(gpus: int, used: int = 0, platform: str = "gpu", chips: int = 0) -> None:
        for number in range(gpus):
            (tmp_path / f"nvidia{number}").touch()
        (tmp_path / "nvidiactl").touch()
        monkeypatch.setattr(jax, "default_backend", lambda: platform)
        monkeypatch.setattr(jax, "local_device_count", lambda: used)
        monkeypatch.setattr(
            hardware_utils, "num_available_tpu_chips_and_device_id", lambda: (chips, None)
        )

    return make


@pytest.mark.parametrize(
    ("chosen", "count"),
    [
        (None, 4),
        ("0,2", 2),
        ("", 0),
        ("-1", 0),
        ("1,-1,2", 1),
        ("GPU-8f2e, 3", 2),
        ("0,1,2,3,4", 4),
    ],
)
def test_gpus_are_counted_as_cuda_does(
    chosen: str | None, count: int, host: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    host(4)
    if chosen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    assert accelerators.visible_gpus() == count


def test_idle_gpus_are_named_with_the_remedy(
    host: Callable[..., None], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    host(gpus=4, used=1)
    accelerators.warn_of_idle()
    assert f"uses 1 of the 4 GPUs of {HOST}" in caplog.text
    assert "JAX_LOCAL_DEVICE_IDS=0,1,2,3" in caplog.text
    caplog.clear()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    accelerators.warn_of_idle()
    assert not caplog.text


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        ({"gpus": 2}, "none of the 2 GPUs"),
        ({"gpus": 0, "chips": 8}, "none of the 8 TPU chips"),
        ({"gpus": 0}, ""),
    ],
)
def test_a_run_on_the_cpu_of_a_host_with_more_says_so(
    machine: dict[str, int],
    words: str,
    host: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host(platform="cpu", used=1, **machine)
    accelerators.warn_of_idle()
    assert words in caplog.text
    assert bool(caplog.text) == bool(words)
    caplog.clear()
    monkeypatch.setattr(accelerators, "_only_cpu_wanted", lambda: True)
    accelerators.warn_of_idle()
    assert not caplog.text


@pytest.mark.parametrize(
    ("counts", "speaker"),
    [([1, 1, 1, 1], None), ([1, 1], 0)],
    ids=["a task for each GPU", "too few tasks"],
)
def test_processes_of_one_host_count_together(
    counts: list[int],
    speaker: int | None,
    host: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host(gpus=4, used=1)
    monkeypatch.setattr(jax, "process_count", lambda: len(counts) + 1)
    other = np.array([[0, 4]], np.uint32)  # another host

    def gathered(mine: np.ndarray) -> np.ndarray:
        return np.concatenate([other, *([[[mine[0], count]] for count in counts])])

    monkeypatch.setattr(multihost_utils, "process_allgather", gathered)
    spoke = []
    for number in range(len(counts)):
        monkeypatch.setattr(jax, "process_index", lambda number=number: number + 1)
        accelerators.warn_of_idle()
        spoke += [number] * bool(caplog.text)
        caplog.clear()
    assert spoke == ([] if speaker is None else [speaker])


@pytest.mark.parametrize("name", accelerators.LOCAL_NUMBERS)
def test_a_task_without_a_gpu_of_its_number_is_refused(
    name: str, host: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    host(gpus=4)
    monkeypatch.setenv(name, "1")
    accelerators.check_local_number()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")  # as --gpus-per-task does
    with pytest.raises(UserError, match=r"would take GPU 1, but sees 1 .* --gpus-per-task"):
        accelerators.check_local_number()
    monkeypatch.setenv("JAX_LOCAL_DEVICE_IDS", "0")
    accelerators.check_local_number()


def test_jax_itself_is_asked_whether_only_the_cpu_is_wanted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accelerators, "visible_gpus", lambda: 2)
    accelerators.warn_of_idle()  # the tests set JAX_PLATFORMS=cpu
    assert not caplog.text

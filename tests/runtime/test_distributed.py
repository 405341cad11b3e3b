"""Two processes of two devices are one of four; where one dies, the other does not wait."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from etils import epath
from jax._src import xla_bridge

from benchmarks import saved_runs
from efficientnet.errors import UserError
from efficientnet.runtime import distributed

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
PROCESS = CHECKOUT / "tests" / "helpers" / "process.py"
PATIENCE = 900


started: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Ends what a failed test has left running."""
    yield
    while started:
        process = started.pop()
        if process.poll() is None:
            process.kill()
            process.communicate()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return int(listener.getsockname()[1])


def start(workdir: os.PathLike[str], *arguments: object) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, PROCESS, workdir, *map(str, arguments)],
        cwd=CHECKOUT,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    started.append(process)
    return process


def start_two(workdir: os.PathLike[str], devices: int = 2) -> list[subprocess.Popen[str]]:
    address = f"localhost:{free_port()}"
    return [start(workdir, devices, address, 2, number) for number in range(2)]


def wait_for(words: str, process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    assert any(words in line for line in process.stderr), f"ended without saying {words!r}"


@pytest.mark.slow
@pytest.mark.usefixtures("quick_processes")
def test_two_processes_are_one(tmp_path: pathlib.Path, bucket: Any) -> None:
    one, two, in_bucket = epath.Path(tmp_path / "one"), epath.Path(tmp_path / "two"), bucket.root
    for processes in ([start(one, 4)], start_two(two), start_two(in_bucket, 1)):
        for process in processes:
            _, said = process.communicate(timeout=PATIENCE)
            assert process.returncode == 0, said
    expected = saved_runs.read_arrays(one / "checkpoints")
    points = saved_runs.read_curves(one / "tensorboard")
    for workdir in (two, in_bucket):
        found = saved_runs.read_arrays(workdir / "checkpoints")
        assert found.keys() == expected.keys()
        for name, array in expected.items():
            np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-5, err_msg=name)
        drawn = saved_runs.read_curves(workdir / "tensorboard")
        for name in points:
            assert [step for step, _ in drawn[name]] == [step for step, _ in points[name]]


@pytest.mark.slow
@pytest.mark.usefixtures("quick_processes")
@pytest.mark.parametrize("number", [0, 1])
def test_a_dying_process_ends_the_other(tmp_path: pathlib.Path, number: int) -> None:
    processes = start_two(tmp_path)
    wait_for("stage late", processes[number])
    processes[number].send_signal(signal.SIGKILL)
    _, said = processes[1 - number].communicate(timeout=PATIENCE)
    processes[number].communicate(timeout=PATIENCE)
    assert processes[1 - number].returncode not in (0, None)
    assert "process" in said or "task" in said


@pytest.mark.slow
@pytest.mark.usefixtures("quick_processes")
def test_a_signal_to_one_stops_both_after_the_same_step(tmp_path: pathlib.Path) -> None:
    processes = start_two(tmp_path)
    wait_for("stage late", processes[1])
    wait_for("validation", processes[1])
    processes[1].send_signal(signal.SIGTERM)
    said = [process.communicate(timeout=PATIENCE)[1] for process in processes]
    assert [process.returncode for process in processes] == [75, 75], said


ANY = """
import sys
import jax, numpy as np
from efficientnet.runtime import accelerators, devices, distributed
jax.config.update("jax_platforms", "cpu")
distributed.start(sys.argv[1], 2, int(sys.argv[2]))
accelerators._only_cpu_wanted, accelerators.visible_gpus = lambda: False, lambda: 2
accelerators.warn_of_idle()
placed = devices.place({"a": jax.numpy.arange(3)}, devices.data_mesh())
print(*(len(leaf.addressable_shards) for leaf in placed.values()))
print(*distributed.in_any_process(np.arange(5) == 2 * int(sys.argv[2])))
"""


@pytest.mark.slow
def test_processes_agree_on_what_any_of_them_has_found() -> None:
    command = [sys.executable, "-c", ANY, f"localhost:{free_port()}"]
    pipe = subprocess.PIPE
    pipes: dict[str, Any] = {"cwd": CHECKOUT, "stdout": pipe, "stderr": pipe, "text": True}
    processes = [subprocess.Popen([*command, str(number)], **pipes) for number in range(2)]
    started.extend(processes)
    for number, process in enumerate(processes):
        said, warned = process.communicate(timeout=PATIENCE)
        assert warned.count("none of the 2 GPUs") == (number == 0)
        assert said.splitlines()[-2] == "1"
        assert said.splitlines()[-1] == "True False True False False"


FIRST = """
import sys
import jax
from efficientnet.runtime import distributed
jax.config.update("jax_platforms", "cpu")
distributed.START_SECONDS = 4 if int(sys.argv[2]) > 1 else 60
distributed.start(sys.argv[1], int(sys.argv[2]), 0)
print(jax.process_count())
"""


def start_first(of: int, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", FIRST, f"localhost:{free_port()}", str(of)],
        cwd=CHECKOUT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_a_proxy_does_not_stand_between_processes() -> None:
    proxy = f"http://localhost:{free_port()}"  # where nobody answers
    done = start_first(1, {"https_proxy": proxy, "KUBERNETES_SERVICE_HOST": ""})
    assert done.stdout == "1\n", done.stderr
    assert not done.stderr  # neither the proxy nor Kubernetes is worth a word


@pytest.mark.slow
def test_a_process_that_waits_for_others_in_vain_says_so() -> None:
    done = start_first(2, {})
    assert done.returncode == 1
    assert re.fullmatch(r"error: the processes of .* within 4 s: start the same .*\n", done.stderr)


@pytest.fixture
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*distributed.UNDETECTED, "OMPI_MCA_orte_hnp_uri", "SLURM_STEP_NODELIST"):
        if name:
            monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("grpc_proxy", "")
    monkeypatch.setattr(xla_bridge, "backends_are_initialized", lambda: False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None, 2, 0), "need --coordinator=HOST:PORT"),
        (("localhost:1", 2, None), "expected --coordinator=HOST:PORT, --num_processes"),
        (("localhost", 2, 0), "--coordinator=localhost isn't complete"),
        (("localhost:1", 2, 2), r"doesn't work here \(.*process_id < num_processes"),
        (("auto", None, None), "doesn't work here .* to a single process none"),
    ],
)
def test_flags_that_do_not_fit_are_refused(
    no_cluster: None, arguments: tuple[str | None, int | None, int | None], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        distributed.start(*arguments)


@pytest.mark.parametrize("name", [name for name in distributed.UNDETECTED if name])
def test_a_cluster_that_jax_does_not_detect_is_named(
    no_cluster: None, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(UserError) as raised:
        distributed.start("auto", None, None)
    assert distributed.UNDETECTED[name] in str(raised.value)
    named = re.findall(r"docs/clusters/\w+\.\w+", distributed.UNDETECTED[name])
    assert named
    assert all((CHECKOUT / file).is_file() for file in named)


def test_a_tpu_host_that_is_alone_needs_no_coordinator(
    no_cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TPU_PROCESS_ADDRESSES", "local")  # as on Kaggle
    distributed.start("auto", None, None)
    assert distributed.state.global_state.client is None

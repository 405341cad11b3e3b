"""The scripts and pages for clusters: their syntax, their flags, and exit statuses."""

import os
import pathlib
import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from efficientnet.commands import recipes
from efficientnet.runtime.preemption import STOPPED

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
DOCS = CHECKOUT / "docs"
FILES = sorted(path for path in DOCS.rglob("*") if path.parent != DOCS and path.is_file())
SCRIPTS = [path for path in FILES if path.suffix == ".sh"]
MANIFESTS = [path for path in FILES if path.suffix == ".yaml"]
PAGES = [DOCS / name for name in ("clusters.md", "cloud_tpu.md", "gpu.md")]
OWN_FLAGS = {"workdir", "coordinator", "num_processes", "process_id"}  # of train.py


def code(page: pathlib.Path) -> list[str]:
    """The indented blocks of a page."""
    blocks = re.findall(r"(?:(?:^    .*)?\n)+", page.read_text(), re.MULTILINE)
    return [textwrap.dedent(block) for block in blocks if block.strip()]


def documents(path: pathlib.Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def values(node: Any, name: str) -> Iterator[Any]:
    """All values of a key, however deep."""
    if isinstance(node, dict):
        yield from (value for key, value in node.items() if key == name)
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for child in children:
        yield from values(child, name)


def shell() -> dict[str, str]:
    texts = {path.name: path.read_text() for path in SCRIPTS}
    for page in PAGES:
        texts |= {f"{page.name}:{number}": text for number, text in enumerate(code(page))}
    for path in MANIFESTS:
        for document in documents(path):
            texts |= {
                f"{path.name}:{key}": document[key] for key in ("setup", "run") if key in document
            }
    return texts


def commands() -> list[list[str]]:
    """The arguments of each train.py in scripts, pages and manifests."""
    found = [
        shlex.split(rest)
        for text in shell().values()
        for rest in re.findall(r"train\.py( --[^\n|;&\"]*)", text.replace("\\\n", " "))
    ]
    for path in MANIFESTS:
        for document in documents(path):
            found += [words[2:] for words in values(document, "command") if "train.py" in words]
    return found


@pytest.mark.parametrize("name", shell())
def test_the_syntax_is_right(name: str) -> None:
    done = subprocess.run(["bash", "-n"], input=shell()[name], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    assert not done.stderr


def test_the_commands_fit_the_flags_of_train_py() -> None:
    help_text = subprocess.run(
        [sys.executable, "train.py", "--help"], cwd=CHECKOUT, capture_output=True, text=True
    ).stdout
    assert all(f"--{name}:" in help_text for name in OWN_FLAGS)
    found = commands()
    assert len(found) >= 9
    for words in found:
        (config,) = [word for word in words if word.startswith("--config=")]
        fields = [word for word in words if word.startswith("--config.")]
        recipes.read(str(CHECKOUT / config.partition("=")[2]), fields)
        others = {word.partition("=")[0][2:] for word in words if word not in [config, *fields]}
        assert "workdir" in others
        assert others <= OWN_FLAGS


def test_what_is_installed_is_among_the_extras() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    texts = [path.read_text() for path in (*FILES, *PAGES, CHECKOUT / "README.md")]
    named = re.findall(r"(?:'\.\[|EXTRAS?[=:] ?)([\w,]+)", "\n".join(texts))
    assert {"cuda12", "cuda13", "tpu", "tpu,bucket"} <= set(named)
    assert {name for names in named for name in names.split(",")} <= set(extras)
    jax = [name for names in extras.values() for name in names if name.startswith("jax[")]
    assert len(jax) == 4
    assert all(name.endswith("]") for name in jax), "the range stands in dependencies"


def test_the_image_has_what_its_containers_start() -> None:
    lines = (DOCS / "clusters" / "Dockerfile").read_text().splitlines()
    copied = [word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]]
    assert all((CHECKOUT / name).exists() for name in copied)
    packages = {path.parent.name for path in CHECKOUT.glob("*/__init__.py")} - {"tests"}
    assert packages | {"train.py", "pyproject.toml", "constraints.txt"} <= set(copied)
    images = [image for path in MANIFESTS for d in documents(path) for image in values(d, "image")]
    assert len(images) == 3
    page = " ".join((DOCS / "clusters.md").read_text().split())
    assert f"--tag {images[0]} " in page
    assert {image.partition(":")[2] for image in images[1:]} == {"tpu"}
    assert "the tag `tpu`" in page


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_what_belongs_together_in_a_manifest_agrees(path: pathlib.Path) -> None:
    for document in documents(path):
        for status in [*values(document, "values"), *values(document, "recover_on_exit_codes")]:
            assert status == [STOPPED]
    (job, *_) = [d for d in documents(path) if d.get("kind") != "Service"]
    for count in values(job, "completions"):
        assert list(values(job, "parallelism")) == [count]
        assert list(values(job, "completionMode")) == ["Indexed"]
    for service in (d for d in documents(path) if d.get("kind") == "Service"):
        name = service["metadata"]["name"]
        assert list(values(job, "subdomain")) == [name]
        assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
        variables = {
            entry["name"]: entry.get("value") for env in values(job, "env") for entry in env
        }
        if "JAX_NUM_PROCESSES" in variables:
            assert int(variables["JAX_NUM_PROCESSES"]) == job["spec"]["completions"]
            host = variables["JAX_COORDINATOR_ADDRESS"].partition(":")[0]
            assert host == f"{job['metadata']['name']}-0.{name}"


def stand_in(folder: pathlib.Path, name: str, script: str) -> None:
    """Puts a program on a folder's PATH that notes its arguments."""
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f'#!/bin/bash\necho "{name} $*" >> "$CALLS"\n{script}\n')
    program.chmod(0o755)


@pytest.mark.parametrize(("status", "queued_again"), [(0, False), (1, False), (STOPPED, True)])
def test_slurm_queues_a_job_again_that_has_saved(
    status: int, queued_again: bool, tmp_path: pathlib.Path
) -> None:
    stand_in(tmp_path / "bin", "srun", f"exit {status}")
    stand_in(tmp_path / "bin", "scontrol", "")
    environment = {
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "CALLS": str(tmp_path / "calls"),
        "SLURM_JOB_ID": "17",
        "SLURM_CPUS_PER_TASK": "8",
    }
    done = subprocess.run([DOCS / "clusters" / "slurm.sh"], env=environment)
    assert done.returncode == status
    calls = (tmp_path / "calls").read_text().splitlines()
    assert "train.py --coordinator=auto" in calls[0]
    assert calls[1:] == ["scontrol requeue 17"] * queued_again


def test_open_mpi_numbers_the_processes(tmp_path: pathlib.Path) -> None:
    stand_in(tmp_path / ".venv", "unused", "")
    stand_in(tmp_path / ".venv" / "bin", "python", "env")
    environment = {
        "PATH": os.environ["PATH"],
        "CALLS": str(tmp_path / "calls"),
        "OMPI_COMM_WORLD_SIZE": "8",
        "OMPI_COMM_WORLD_RANK": "5",
        "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    }
    command = [DOCS / "clusters" / "openmpi.sh", "--workdir=a b"]
    pipes: dict[str, Any] = {"cwd": tmp_path, "capture_output": True, "text": True}
    assert "set it to HOST:PORT" in subprocess.run(command, env=environment, **pipes).stderr
    environment["JAX_COORDINATOR_ADDRESS"] = "first:29500"
    seen = subprocess.run(command, env=environment, **pipes).stdout.splitlines()
    assert {"JAX_NUM_PROCESSES=8", "JAX_PROCESS_ID=5", "JAX_LOCAL_DEVICE_IDS=1"} <= set(seen)
    assert (tmp_path / "calls").read_text() == "python train.py --workdir=a b\n"

"""What a wheel installs: three packages and the commands, which run outside a checkout."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tomllib
import zipfile

import pytest

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
COMMANDS = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["scripts"]
SHARED = {"__init__", "command_line", "networks", "recipes"}  # by commands


def test_every_command_has_a_name_and_a_script() -> None:
    modules = {path.stem for path in (CHECKOUT / "efficientnet" / "commands").glob("*.py")} - SHARED
    assert {name.removeprefix("efficientnet-").replace("-", "_") for name in COMMANDS} == modules
    assert set(COMMANDS.values()) == {"efficientnet.commands:run"}
    for name in modules:
        script = CHECKOUT / ("train.py" if name == "train" else f"scripts/{name}.py")
        assert script.read_text().startswith(f'"""Runs efficientnet/commands/{name}.py')


def tracked(*folders: str) -> list[str]:
    """The files that git knows."""
    git = ["git", "ls-files", *folders]
    done = subprocess.run(git, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A bare folder with what the wheel installs, and nothing that it needs."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # where no earlier build has left anything
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(CHECKOUT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = ["wheel", "--no-build-isolation", "--no-deps", f"--wheel-dir={folder}", str(source)]
    subprocess.run([*pip, *build], check=True)
    (wheel,) = folder.glob("*.whl")
    target = folder / "target"
    subprocess.run([*pip, "install", "--no-deps", f"--target={target}", str(wheel)], check=True)
    return target


@pytest.mark.slow
def test_a_wheel_has_three_packages_and_all_of_their_files(installed: pathlib.Path) -> None:
    (wheel,) = installed.parent.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == set(tracked("efficientnet", "input_pipeline", "configs"))
    assert {path.name for path in (installed / "bin").iterdir()} == set(COMMANDS)


@pytest.mark.slow
def test_the_commands_run_anywhere(installed: pathlib.Path, tmp_path: pathlib.Path) -> None:
    def run(name: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(installed / "bin" / f"efficientnet-{name}"), *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(installed), "JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
        )

    done = run("summary", "--config=configs/cars_b0.py", "--num_classes=196", "--json")
    assert not done.returncode, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])
    done = run("train", "--config=configs/solar_lite0.py")
    assert (done.returncode, done.stderr) == (1, "error: --workdir is missing: see --help\n")
    assert "Fine-tunes an EfficientNet in stages." in run("train", "--help").stdout
    name = "show-augmentations"
    assert run(name, "--help").stdout.startswith(f"usage: efficientnet-{name} ")
    assert not list(tmp_path.iterdir())

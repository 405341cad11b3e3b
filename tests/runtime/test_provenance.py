"""What code, packages and machine a run is traced back to."""

import dataclasses
import pathlib
import subprocess
import sys

import jax
import pytest
from made_up import environment

from efficientnet.runtime import provenance
from efficientnet.runtime.provenance import Provenance

NVIDIA = """NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2026
GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)
"""


def git(folder: pathlib.Path, *words: str) -> str:
    who = ["-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *who, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: pathlib.Path) -> pathlib.Path:
    git(tmp_path, "init")
    (tmp_path / "code.py").write_text("1")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "-m", "first")
    return tmp_path


def test_the_commit_of_a_checkout(checkout: pathlib.Path) -> None:
    name = git(checkout, "rev-parse", "HEAD")
    (checkout / "photo.jpg").write_text("of the user's, not of the code")
    assert provenance.commit(checkout) == (name, True)
    (checkout / "code.py").write_text("2")
    assert provenance.commit(checkout) == (name, False)


def test_a_package_within_another_checkout_is_none_of_it(checkout: pathlib.Path) -> None:
    (checkout / "site-packages").mkdir()
    assert provenance.commit(checkout / "site-packages") is None


def test_without_git_there_is_the_version(
    checkout: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(checkout))
    assert provenance.commit(checkout) is None
    monkeypatch.setattr(provenance, "commit", lambda: None)
    here = provenance.environment()
    assert (here.commit, here.clean) == (None, None)
    assert here.code == f"version {here.version}, without a git checkout"


def test_packages_are_those_that_are_used_and_installed() -> None:
    found = provenance.packages()
    assert found["jax"] == jax.__version__
    assert {"jaxlib", "orbax-checkpoint", "opencv-python-headless", "tensorstore"} <= set(found)
    assert "pip" not in found  # installed, but not used
    assert "libtpu" not in found  # used by an extra, but not installed


def test_the_driver_of_gpus(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert provenance.driver() == ""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(provenance, "NVIDIA_DRIVER", tmp_path / "version")
    assert provenance.driver() == "cpu"  # the words of JAX's own platform
    (tmp_path / "version").write_text(NVIDIA)
    assert provenance.driver() == "NVIDIA 550.54.15"


def test_each_start_is_kept_and_what_is_equal_only_once(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Provenance(run_id="1", data_digest="2", data_covers="names")
    first, second = environment(), environment(jax="1.0")
    for command, place in (("a b", first), ("a b", second), ("a 'c d'", first)):
        monkeypatch.setattr(sys, "orig_argv", command.replace("'", "").split(" ", 1))
        known = known.started(place)
    assert known.environments == (first, second)
    assert [start.environment for start in known.starts] == [0, 1, 0]
    assert [start.command for start in known.starts] == ["a b", "", "a 'c d'"]
    assert known.commands == ["a b", "a b", "a 'c d'"]
    assert known.latest == first


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, []),
        ({"devices": "8 x cpu", "processes": 8}, []),  # neither code nor versions
        (
            {"clean": False},
            ["commit abc, with changes that are not committed (before: commit abc)"],
        ),
        (
            {"commit": "def", "python": "3.12.0"},
            ["commit def (before: commit abc)", "Python 3.12.0 (before: 3.11.9)"],
        ),
        (
            {"packages": {"jax": "1.0", "flax": "2.0"}},
            [
                "jax 1.0 (before: 0.9)",
                "numpy not installed (before: 2.0)",
                "flax 2.0 (before: not installed)",
            ],
        ),
    ],
)
def test_what_has_changed_is_named(change: dict[str, object], words: list[str]) -> None:
    before = environment()
    after = dataclasses.replace(before, **change)  # type: ignore[arg-type]
    assert list(after.changes_since(before)) == words


def test_no_two_runs_have_one_id() -> None:
    ids = {provenance.new_run_id() for _ in range(100)}
    assert len(ids) == 100

"""What is installed runs on Windows and macOS too: it imports nothing that they lack."""

import ast
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from efficientnet import locks

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
INSTALLED = ("efficientnet", "input_pipeline", "configs")
ONE_PLACE = CHECKOUT / "efficientnet" / "locks.py"

# What they have of other modules, `make lint` asks mypy.
MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}


def posix_only(tree: ast.AST) -> Iterator[str]:
    """The modules of POSIX that a module imports."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names if alias.name in MODULES)
            case ast.ImportFrom(module=str(module)) if module in MODULES:
                yield module


def test_nothing_but_the_locks_imports_posix() -> None:
    files = [file for name in INSTALLED for file in (CHECKOUT / name).rglob("*.py")]
    found = {
        file: names
        for file in files
        if (names := set(posix_only(ast.parse(file.read_text("utf-8")))))
    }
    assert found == {ONE_PLACE: {"fcntl"}}, "take the standard library, or a package such as psutil"
    assert list(posix_only(ast.parse("def f():\n    from resource import getrusage"))) == [
        "resource"
    ]


# As on Windows, whose own module is replaced by locks of Linux: in `efficientnet.locks` alone.
WINDOWS = """
import errno, fcntl, os, sys, types

def locking(descriptor, mode, count):
    assert os.lseek(descriptor, 0, os.SEEK_CUR) > 1e9 and (mode, count) == (2, 1)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise PermissionError(errno.EACCES, "Permission denied") from None

sys.modules["msvcrt"] = types.SimpleNamespace(LK_NBLCK=2, locking=locking)
import efficientnet
system, sys.platform = sys.platform, "win32"
from efficientnet.locks import lock
sys.platform = system
with open(sys.argv[1], "a") as file, open(sys.argv[1], "a") as other:
    assert lock(file)
    print("written by the holder", file=file, flush=True)
    assert not lock(other)
    assert open(sys.argv[1]).read() == "written by the holder\\n"
with open(sys.argv[1], "a") as other:
    assert lock(other)
"""


def test_the_locks_of_windows_keep_others_out(tmp_path: pathlib.Path) -> None:
    command = [sys.executable, "-c", WINDOWS, str(tmp_path / "lock")]
    subprocess.run(command, cwd=CHECKOUT, check=True)


def test_a_disk_without_locks_is_said_and_used(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unknown(descriptor: int) -> None:
        raise OSError(locks.UNKNOWN[0], "Function not implemented")

    monkeypatch.setattr(locks, "_lock", unknown)
    with (tmp_path / "lock").open("w") as file:
        assert locks.lock(file)
    assert f"{tmp_path / 'lock'} lies where files can't be locked" in caplog.text

    def broken(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(locks, "_lock", broken)
    with (tmp_path / "lock").open("w") as file, pytest.raises(OSError, match="Input/output"):
        locks.lock(file)

"""Prints what a report of a bug needs to say: versions, devices, paths.

    python -m efficientnet.environment

JAX and TensorFlow are asked in processes of their own: where one can't be imported, crashes or
hangs, its line says so, and all others are still there.
"""

import argparse
import importlib.metadata
import os
import pathlib
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator

import psutil
from packaging.requirements import Requirement

import efficientnet
from efficientnet.errors import UserError
from efficientnet.paths import cache_directory, printable
from efficientnet.runtime import provenance

SECONDS = 60.0  # for a library to be imported and to find its devices
QUESTIONS = {
    "JAX": "from efficientnet.runtime import provenance as p\n"
    "print(p.devices(), p.driver(), sep=', ')",
    "TensorFlow": "import tensorflow as tf\nprint(tf.__version__)",
    "OpenCV": "import cv2\nprint(cv2.__version__)",
}
NVIDIA = ("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")
# The beginnings of the variables that change what these libraries do; none of them holds a secret.
VARIABLES = (
    *("JAX_", "XLA_", "TF_CPP_", "TF_XLA_", "TF_FORCE_", "TPU_", "LIBTPU", "CUDA_"),
    *("NVIDIA_VISIBLE", "GLIBC_TUNABLES", "LD_LIBRARY_PATH", "PYTHONPATH", "MPLBACKEND"),
    *("EFFICIENTNET_", "XDG_CACHE", "HF_HOME", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE"),
)


def lines() -> Iterator[tuple[str, str]]:
    """Yields a title and a text for each thing that may matter, the packages last."""
    commit = provenance.commit()
    version = f"{efficientnet.__version__}, {pathlib.Path(efficientnet.__file__).parent}"
    if commit:
        version += f", commit {commit[0][:12]}{'' if commit[1] else ' with changes'}"
    yield "efficientnet", version
    yield "Python", f"{platform.python_version()}, {sys.executable}"
    memory = psutil.virtual_memory().total / 1e9
    yield "system", f"{platform.platform()}, {os.cpu_count()} cores, {memory:.0f} GB of memory"
    for library, question in QUESTIONS.items():
        yield library, answer([sys.executable, "-c", question])
    if shutil.which(NVIDIA[0]):
        yield "NVIDIA", answer(NVIDIA)
    try:
        cache = str(cache_directory())
    except UserError as error:
        cache = f"error: {error}"
    yield "cache", cache
    for name, value in sorted(os.environ.items()):
        if name.startswith(VARIABLES):
            yield name, value
    for conflict in conflicts():
        yield "conflict", conflict
    yield from provenance.packages().items()


def answer(command: tuple[str, ...] | list[str], seconds: float = SECONDS) -> str:
    """Returns what a program prints, or in a line why it prints nothing.

    Args:
      command: the program with its arguments.
      seconds: that it may take.
    """
    try:
        done = subprocess.run(command, capture_output=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return f"error: no answer within {seconds:g} s"
    except OSError as error:
        return f"error: {error}"
    if done.returncode == 0:
        return done.stdout.decode(errors="replace").strip(", \n").replace("\n", "; ")
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return f"error: {said[-1] if said else 'no message'} (exit status {done.returncode})"


def conflicts() -> Iterator[str]:
    """Yields each package whose version is not one that this package was tried with."""
    try:
        requirements = importlib.metadata.requires(provenance.PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        yield f"{provenance.PACKAGE} is not installed, so what it needs is unknown"
        return
    for needed in map(Requirement, requirements):
        if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
            continue
        try:
            version = importlib.metadata.version(needed.name)
        except importlib.metadata.PackageNotFoundError:
            yield f"{needed.name} is not installed, expected {needed.specifier}"
        else:
            if not needed.specifier.contains(version, prereleases=True):
                yield f"{needed.name} {version}, expected {needed.specifier}"


def main() -> None:
    """Prints all lines, each when it is known."""
    argparse.ArgumentParser(
        "python -m efficientnet.environment",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    for title, text in lines():
        print(f"{title:24} {printable(text)}", flush=True)


if __name__ == "__main__":
    main()

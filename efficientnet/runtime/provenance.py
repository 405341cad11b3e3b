"""Where a run's results come from: its starts, and the code, packages and machine of each."""

import dataclasses
import datetime
import importlib.metadata
import os
import pathlib
import platform
import re
import secrets
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Self

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGE = "efficientnet-jax-finetuning"
CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
GIT_SECONDS = 20
NVIDIA_DRIVER = pathlib.Path("/proc/driver/nvidia/version")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Environment:
    """The code, packages and machine of a run.

    Attributes:
      version: of this package; '' if it is not installed.
      commit: of its git checkout; None without one, or without git.
      clean: whether the files that git knows are those of the commit; None without it.
      python: its version.
      platform: operating system and kind of machine.
      devices: of all processes.
      driver: what drives them, with its version; '' for CPUs.
      processes: how many.
      packages: versions of the installed ones that this package uses, directly or not.
    """

    version: str
    commit: str | None
    clean: bool | None
    python: str
    platform: str
    devices: str
    driver: str
    processes: int
    packages: dict[str, str]

    @property
    def code(self) -> str:
        """The commit, or else the version, in words."""
        if self.commit:
            return f"commit {self.commit[:12]}" + (
                "" if self.clean else ", with changes that are not committed"
            )
        return f"version {self.version or 'unknown'}, without a git checkout"

    def changes_since(self, before: Self) -> Iterator[str]:
        """Describes in what its code and versions differ from an earlier environment."""
        if self.code != before.code:
            yield f"{self.code} (before: {before.code})"
        versions = [{"Python": one.python, **one.packages} for one in (before, self)]
        for name in versions[0] | versions[1]:
            old, new = (known.get(name) for known in versions)
            if old != new:
                yield f"{name} {new or 'not installed'} (before: {old or 'not installed'})"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Start:
    """The first start of a run, or one that resumed it."""

    date: str  # ISO 8601, UTC
    host: str
    command: str  # of the first process; '' if it was the same as that of the start before
    environment: int  # index in `Provenance.environments`


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightsOrigin:
    """The pretrained weights that a run began with.

    Attributes:
      origin: a path, a URL, or 'hf:OWNER/NAME@COMMIT/FILE'.
      digest: SHA-256 of the file; '' if none came with it.
      license: as their publisher states it; '' if unknown.
    """

    origin: str
    digest: str
    license: str

    def __str__(self) -> str:
        digest = f", SHA-256 {self.digest}" if self.digest else ""
        return f"{self.origin}, license: {self.license or 'not stated'}{digest}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provenance:
    """What is known of the origin of a run's results.

    Attributes:
      run_id: unique; made when the run begins.
      data_digest: of what `data_covers` says.
      data_covers: in words.
      starts: in order; for a run that an earlier version began, only those since then.
      environments: of the starts, all different.
      weights: None for random ones, and for a run that an earlier version began.
    """

    run_id: str
    data_digest: str
    data_covers: str
    starts: tuple[Start, ...] = ()
    environments: tuple[Environment, ...] = ()
    weights: WeightsOrigin | None = None

    @property
    def latest(self) -> Environment:
        """The environment of the last start."""
        return self.environments[self.starts[-1].environment]

    @property
    def commands(self) -> list[str]:
        """The command of each start."""
        found: list[str] = []
        for start in self.starts:
            found.append(start.command or found[-1])
        return found

    def started(self, environment: Environment) -> Self:
        """Returns the same after a start by this process, now."""
        command = shlex.join(sys.orig_argv)
        known = self.environments
        if environment not in known:
            known = (*known, environment)
        start = Start(
            date=f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}",
            host=socket.gethostname(),
            command="" if self.starts and command == self.commands[-1] else command,
            environment=known.index(environment),
        )
        return dataclasses.replace(self, starts=(*self.starts, start), environments=known)


def new_run_id() -> str:
    """Returns a unique name that sorts by time, such as '20261127-184512-9f3a6c1d'."""
    return f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"


def environment() -> Environment:
    """Returns the environment of this process."""
    import jax  # reading a record needs nothing that takes so long to import

    name, clean = commit() or (None, None)
    try:
        version = importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        version = ""
    return Environment(
        version=version,
        commit=name,
        clean=clean,
        python=platform.python_version(),
        platform=platform.platform(),
        devices=devices(),
        driver=driver(),
        processes=jax.process_count(),
        packages=packages(),
    )


def commit(checkout: pathlib.Path = CHECKOUT) -> tuple[str, bool] | None:
    """Returns the git commit of a checkout, and whether the files that git knows are unchanged.

    Returns None where there is no checkout, no git, or no answer from it.
    """
    if not (checkout / ".git").exists():  # a checkout around it would be of another project
        return None
    git = ["git", "--no-optional-locks", "-C", str(checkout)]
    questions = (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
    try:
        name, changes = (
            subprocess.run(
                [*git, *question], capture_output=True, text=True, check=True, timeout=GIT_SECONDS
            ).stdout.strip()
            for question in questions
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return name, not changes


def packages() -> dict[str, str]:
    """Returns the versions of the installed packages that this one uses, directly or not."""
    try:
        extras = importlib.metadata.metadata(PACKAGE).get_all("Provides-Extra") or []
    except importlib.metadata.PackageNotFoundError:
        extras = []
    found: dict[str, str] = {}
    # If this package is not installed, those that Flax uses are still known.
    waiting = [(PACKAGE, frozenset(extras)), ("flax", frozenset[str]())]
    for name, wanted in waiting:  # which grows
        try:
            package = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        found[name] = package.version
        waiting += [
            needed for needed in _needed(package.requires or (), wanted) if needed not in waiting
        ]
    found.pop(PACKAGE, None)
    return dict(sorted(found.items()))


def _needed(
    requirements: Sequence[str], extras: frozenset[str]
) -> list[tuple[str, frozenset[str]]]:
    """Returns name and extras of the packages that are needed for the given extras, or for none."""
    return [
        (canonicalize_name(needed.name), frozenset(needed.extras))
        for needed in map(Requirement, requirements)
        if needed.marker is None
        or any(needed.marker.evaluate({"extra": extra}) for extra in ("", *extras))
    ]


def devices() -> str:
    """Describes JAX's devices, those of all processes."""
    import jax

    text = f"{jax.device_count()} x {jax.devices()[0].device_kind}"
    if jax.default_backend() == "cpu":
        text += f" ({platform.machine()}, {os.cpu_count()} cores)"
    return text


def driver() -> str:
    """Describes what drives the devices: NVIDIA's driver, or libtpu; '' for CPUs."""
    import jax

    if jax.default_backend() == "cpu":
        return ""
    if NVIDIA_DRIVER.exists():
        found = re.search(r"Kernel Module\D*([\d.]+)", NVIDIA_DRIVER.read_text())
        if found:
            return f"NVIDIA {found[1]}"
    return " ".join(str(jax.devices()[0].client.platform_version).split())

"""The folder of a run: its config and data, its lock, and whether the run is finished."""

import contextlib
import dataclasses
import logging
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from etils import epath

from efficientnet import records
from efficientnet.config import RunConfig, may_change
from efficientnet.errors import UserError
from efficientnet.locks import lock
from efficientnet.paths import absolute, is_in_bucket, make_folder, unreachable
from efficientnet.records import NetworkRecord, RunSummary, SplitIdentity
from efficientnet.reporting.runs import CONFIG, NETWORK, SUMMARY, read_config
from efficientnet.runtime import distributed
from efficientnet.training import pinning

log = logging.getLogger(__name__)

LOCK = ".lock"


def open_workdir(path: str, config: RunConfig) -> epath.Path:
    """Returns the run's folder, and creates it if needed.

    Raises:
      UserError: the folder can't be created, or holds a run of another config.
    """
    workdir = absolute(path)
    if str(workdir).startswith("gs://"):
        _check_google_storage(workdir)
    with _changing(workdir):
        make_folder(workdir)
    check_config(workdir, config)
    if not (workdir / CONFIG).exists() and (workdir / "checkpoints").exists():
        raise UserError(
            f"{workdir} has checkpoints but no {CONFIG} to describe them: choose another --workdir"
        )
    return workdir


@contextlib.contextmanager
def _changing(workdir: epath.Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if unreachable(error):  # the caller reports it
            raise
        raise UserError(
            f"--workdir={workdir} can't be made or written ({error.strerror}): take another folder"
        ) from error


def as_begun(path: str | epath.Path, config: RunConfig) -> RunConfig:
    """Returns the config with which the run in a folder goes on, if there is one.

    It keeps to the commits of the Hugging Face Hub that it began with. A validation split of the
    data is used by default, but was not in earlier versions: their runs go on with the photos that
    they hold out.
    """
    known = absolute(path) / CONFIG
    if not known.exists():
        return config
    before = records.read_json(known)
    config = pinning.as_begun(config, before)
    held_out = before.get("data", {}).get("validation_split") == ""
    if config.data.validation_split != "auto" or not held_out:
        return config
    log.info("data: this run began with photos held out of training to validate on, and keeps them")
    return dataclasses.replace(config, data=dataclasses.replace(config.data, validation_split=""))


def check_config(workdir: epath.Path, config: RunConfig) -> None:
    """Raises a `UserError` if a folder, which may not exist, holds a run of another config."""
    known = workdir / CONFIG
    config = as_begun(workdir, config)
    # The config of an earlier version lacks fields, and gets their defaults.
    changes = (
        differences(read_config(workdir).to_json(), config.to_json()) if known.exists() else []
    )
    if changes:
        raise UserError(
            f"{workdir} holds a run of another config ({'; '.join(changes)}): "
            "choose another --workdir, or use the old values to resume"
        )


def _check_google_storage(workdir: epath.Path) -> None:
    try:
        from google.cloud import storage  # noqa: F401
    except ImportError:
        raise UserError(
            f"--workdir={workdir} is in a bucket, where Orbax needs Google's package: "
            "pip install -e '.[bucket]'"
        ) from None


@contextlib.contextmanager
def locked(workdir: epath.Path) -> Iterator[None]:
    """Locks a folder against other runs; the lock is released when the process ends.

    Does nothing in a bucket, which has no locks.

    Raises:
      UserError: another process uses the folder.
    """
    if not distributed.leads() or is_in_bucket(workdir):
        yield
        return
    path = workdir / LOCK
    with _changing(workdir):
        file = path.open("a")
    with file:
        if not lock(file):
            raise UserError(
                f"{workdir} is in use by {path.read_text().strip() or 'another process'}: "
                "wait for its end, or choose another --workdir"
            )
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield


def write_config(workdir: epath.Path, config: RunConfig, network: NetworkRecord) -> None:
    """Writes config and network to the folder; called only when training can really begin.

    Args:
      workdir: the run's folder.
      config: of the run.
      network: for loading the run without its data.

    Raises:
      UserError: the folder has checkpoints of a run on other data, or can't be written.
    """
    check_data(workdir, network.class_names, network.data)
    if has_checkpoint(workdir):
        before = records.read_json(workdir / CONFIG)["data"]["directory"]
        if before != config.data.directory:
            log.info("data: the same as before, moved from %r to %r", before, config.data.directory)
    if not distributed.leads():
        return
    with _changing(workdir):
        # The summary may be that of a shorter run, which is now continued.
        (workdir / SUMMARY).unlink(missing_ok=True)
        records.write(workdir / NETWORK, network)
        records.write(workdir / CONFIG, config.to_json())


def check_data(
    workdir: epath.Path, class_names: Sequence[str], data: Mapping[str, SplitIdentity]
) -> None:
    """Raises a `UserError` if the folder has a checkpoint of a run on other data."""
    changes = changes_since(workdir, class_names, data) if has_checkpoint(workdir) else []
    if changes:
        raise UserError(
            f"{workdir} holds a run on other data ({'; '.join(changes)}): choose another "
            "--workdir, or use the old data to resume"
        )


def changes_since(
    workdir: epath.Path, class_names: Sequence[str], data: Mapping[str, SplitIdentity]
) -> list[str]:
    """Describes how the data differ from those that a run began on."""
    if not (workdir / NETWORK).exists():
        return []
    old = records.read(NetworkRecord, workdir / NETWORK)
    new = dataclasses.replace(old, class_names=tuple(class_names), data=dict(data))
    return data_changes(old, new)


def has_checkpoint(workdir: epath.Path) -> bool:
    """Whether a run has begun in the folder, and would be resumed."""
    latest = workdir / "checkpoints" / "latest"
    return latest.exists() and any(step.name.isdigit() for step in latest.iterdir())


def data_changes(old: NetworkRecord, new: NetworkRecord) -> list[str]:
    """Describes how the data of two networks differ."""
    changes = [class_change(old.class_names, new.class_names)]
    for split, before in old.data.items():  # earlier versions did not record them
        now = new.data[split]
        if before.photos != now.photos:
            changes.append(f"{split} had {before.photos:,} photos, has {now.photos:,}")
        elif before.digest != now.digest:
            changes.append(
                f"the {now.photos:,} photos of {split} have other names, labels or order"
            )
    return [change for change in changes if change]


def class_change(old: Sequence[str], new: Sequence[str]) -> str:
    """Describes how class names, in label order, differ; '' if they don't."""
    if len(old) != len(new):
        return f"{len(old):,} classes have become {len(new):,}"
    for label, (before, now) in enumerate(zip(old, new, strict=True)):
        if before != now:
            return f"class {label} was {before!r}, is {now!r}"
    return ""


def differences(old: Any, new: Any) -> list[str]:
    """Returns a line for each field in which a config differs from that of the run.

    Fields that may change, additional stages and more epochs in the previously last stage are
    ignored, although more epochs stretch a cosine schedule for the remaining steps: see
    docs/errors.md.
    """
    old_stages, new_stages = old.get("stages", []), new.get("stages", [])
    if 0 < len(old_stages) <= len(new_stages):
        last = len(old_stages) - 1
        grown = {**old_stages[last], "epochs": new_stages[last]["epochs"]}
        if new_stages[last]["epochs"] > old_stages[last]["epochs"]:
            old_stages = [*old_stages[:last], grown]
        old = {**old, "stages": [*old_stages, *new_stages[len(old_stages) :]]}
    return _differences(old, new, "config")


def _differences(old: Any, new: Any, name: str) -> list[str]:
    if name in may_change():  # `data_changes` compares moved data
        return []
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for key in sorted({*old, *new})
            for line in _differences(old.get(key), new.get(key), f"{name}.{key}")
        ]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            line
            for index, pair in enumerate(zip(old, new, strict=True))
            for line in _differences(*pair, f"{name}[{index}]")
        ]
    return [] if old == new else [f"{name} was {old!r}, is {new!r}"]


def finished_summary(workdir: epath.Path, config: RunConfig) -> RunSummary | None:
    """Returns the summary of a finished run; None if there is more to train."""
    path = workdir / SUMMARY
    if not path.exists() or not (workdir / NETWORK).exists():
        return None
    known = records.read_json(workdir / CONFIG)
    if _length(known) != _length(config.to_json()):
        return None
    return records.read(RunSummary, path)


def _length(config: dict[str, Any]) -> list[float]:
    return [stage["epochs"] for stage in config["stages"]]

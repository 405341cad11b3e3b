"""The folder of a run: which config it belongs to, and whether the run is finished."""

import json
from typing import Any

from etils import epath
from ml_collections import ConfigDict

from efficientnet.errors import UserError

CONFIG = "config.json"
# Fields that change what is seen and saved, not what is computed.
HARMLESS = ("log_every_steps", "checkpoint_every_steps")


def open_workdir(path: str, config: ConfigDict) -> epath.Path:
    """Returns the run's folder, made if need be.

    Raises:
      UserError: the folder can't be made, or holds a run of another config.
    """
    workdir = epath.Path(path)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--workdir={path} can't be made ({error.strerror}): take another folder"
        ) from error
    known = workdir / CONFIG
    if known.exists():
        changes = differences(json.loads(known.read_text()), json.loads(config.to_json()))
        if changes:
            raise UserError(
                f"{workdir} holds a run of another config ({'; '.join(changes)}): "
                "take another --workdir, or the old values to resume"
            )
    return workdir


def write_config(workdir: epath.Path, config: ConfigDict) -> None:
    """Makes the folder that of this config; done only when training can really begin."""
    try:
        write_json(workdir / CONFIG, json.loads(config.to_json()))
    except OSError as error:
        raise UserError(
            f"--workdir={workdir} can't be written ({error.strerror}): take another folder"
        ) from error


def differences(old: Any, new: Any, name: str = "config") -> list[str]:
    """Returns a line for each field in which two configs differ, harmless ones left out."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for key in sorted({*old, *new} - set(HARMLESS))
            for line in differences(old.get(key), new.get(key), f"{name}.{key}")
        ]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            line
            for index, pair in enumerate(zip(old, new, strict=True))
            for line in differences(*pair, f"{name}[{index}]")
        ]
    return [] if old == new else [f"{name} was {old!r}, is {new!r}"]


def write_json(path: epath.Path, content: Any) -> None:
    """Writes a JSON file so that it is never seen half-written."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(content, indent=2) + "\n")
    part.replace(path)


def finished_summary(workdir: epath.Path) -> dict[str, Any] | None:
    """Returns the summary of a run that is done, else None."""
    path = workdir / "summary.json"
    return json.loads(path.read_text()) if path.exists() else None

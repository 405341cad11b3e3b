"""The commits of the Hugging Face Hub that a run keeps to, whatever is published there later.

They stand in the run's `config.json` behind the names of the repositories.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from efficientnet import hub
from efficientnet.config import RunConfig
from efficientnet.weights import repository


def pinned(config: RunConfig) -> RunConfig:
    """Returns a config with the commits for which its names on the Hub stand now.

    Raises:
      UserError: a repository does not exist or can't be reached, see `hub.fetch`.
    """
    return _with(
        config,
        *(str(hub.pin(found)) if found else given for given, found in _references(config)),
    )


def as_begun(config: RunConfig, before: Mapping[str, Any]) -> RunConfig:
    """Returns a config with the commits of a run, given its `config.json`.

    A name with another commit stays as it is.
    """
    recorded = (before.get("weights", ""), before.get("data", {}).get("source", ""))
    names = []
    for (given, found), known in zip(_references(config), recorded, strict=True):
        same = found and known.startswith(hub.PREFIX) and hub.parse(known, found.kind).pins(found)
        names.append(known if same else given)
    return _with(config, *names)


def _references(config: RunConfig) -> list[tuple[str, hub.Reference | None]]:
    """Returns weights and data as they are given, each with what it is on the Hub, if it is."""
    source = config.data.source
    on_hub = source.startswith(hub.PREFIX)
    return [
        (config.weights, repository.reference_of(config.weights)),
        (source, hub.parse(source, hub.DATASET) if on_hub else None),
    ]


def _with(config: RunConfig, weights: str, source: str) -> RunConfig:
    data = dataclasses.replace(config.data, source=source)
    return dataclasses.replace(config, weights=weights, data=data)

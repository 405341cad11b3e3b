"""What the README.md of a data set on the Hugging Face Hub declares of its files and labels.

configs:
- config_name: default
  data_files:
  - {split: train, path: data/train-*}
dataset_info:
  features:
  - name: label
    dtype: {class_label: {names: {'0': cat, '1': dog}}}
"""

import dataclasses
import fnmatch
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from efficientnet.errors import UserError
from input_pipeline.sources.splitting import SPLITS, split_of

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Declared:
    """What is declared of one configuration.

    Attributes:
      folder: that its files are in; '' for all.
      patterns: of the files of each split, as in `fnmatch`; {} if their names tell.
      class_names: in label order; () if they stand in the files.
    """

    folder: str = ""
    patterns: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    class_names: tuple[str, ...] = ()

    def files(self, names: Iterable[str]) -> dict[str, list[str]]:
        """Returns which of the files are of which split, as declared, in order."""
        every = sorted(names)
        found = {
            split: [
                name for name in every if any(fnmatch.fnmatchcase(name, one) for one in patterns)
            ]
            for split, patterns in self.patterns.items()
        }
        return {split: found[split] for split in SPLITS if found.get(split)}


def read(card: Mapping[str, Any], path: str, place: str, labels: Sequence[str]) -> Declared:
    """Returns what a card declares.

    Args:
      card: the metadata of the README.md.
      path: the name of a configuration or of a folder; '' for what the card takes by default.
      place: the data set, for errors.
      labels: what a column of labels may be called.

    Raises:
      UserError: it is not clear which configuration is meant, or the card is not as expected.
    """
    try:
        config = _choose(card.get("configs") or [], path, place)
        name = str(config.get("config_name", path))
        folder = str(config.get("data_dir", "" if config else path)).strip("/")
        patterns = _patterns(config.get("data_files") or [])
        return Declared(folder, patterns, _class_names(card, name, labels))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"the README.md of {place} declares its files in a way that is not understood "
            f"({type(error).__name__}: {error}): download them and give their folder"
        ) from error


def _choose(configs: Sequence[Mapping[str, Any]], path: str, place: str) -> Mapping[str, Any]:
    named = {str(one.get("config_name", "default")): one for one in configs}
    if path:
        return named.get(path, {})
    if len(named) > 1:
        preferred = [one for name, one in named.items() if one.get("default") or name == "default"]
        if not preferred:
            raise UserError(
                f"{place} has several configurations, {', '.join(named)}: say which, as in "
                f"{place}/{next(iter(named))}"
            )
        return preferred[0]
    return next(iter(named.values()), {})


def _patterns(files: Any) -> dict[str, list[str]]:
    if isinstance(files, str) or all(isinstance(one, str) for one in files):
        files = [{"split": "train", "path": files}] if files else []
    found: dict[str, list[str]] = {}
    for one in files:
        split = split_of(str(one["split"]))
        if not split or split in found:
            log.info("data: the split %s is not used", one["split"])
        else:
            found[split] = [one["path"]] if isinstance(one["path"], str) else list(one["path"])
    return found


def _class_names(card: Mapping[str, Any], config: str, labels: Sequence[str]) -> tuple[str, ...]:
    described = card.get("dataset_info") or []
    if isinstance(described, Mapping):
        described = [described]
    of_config = [one for one in described if str(one.get("config_name", config)) == config]
    for feature in (of_config or described)[0].get("features") or [] if described else []:
        kind = feature.get("dtype")
        if feature.get("name") in labels and isinstance(kind, Mapping) and "class_label" in kind:
            names = kind["class_label"].get("names") or []
            numbered = names if isinstance(names, Mapping) else dict(enumerate(names))
            return tuple(str(numbered[key]) for key in sorted(numbered, key=int))
    return ()

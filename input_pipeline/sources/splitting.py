"""Dividing photos into splits: what the splits are called, and how missing ones are made."""

import dataclasses
import hashlib
import logging
import re
from collections.abc import Sequence

import numpy as np

from efficientnet.errors import UserError
from input_pipeline.sources.groups import apportion
from input_pipeline.sources.split import Source, Split

log = logging.getLogger(__name__)

# Of the photos, drawn for testing where a data set has no split for it.
TEST_FRACTION = 0.2
WORDS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "validate": "validation",
    "dev": "validation",
    "development": "validation",
    "eval": "validation",
    "evaluation": "validation",
    "test": "test",
    "testing": "test",
}
# What may follow such a word: 'test_set', 'trainset', 'val2017', 'train-images'.
_SUFFIX = r"(?:[ ._-]*(?:set|split|data|dataset|dir|folder|images|imgs|photos|\d+))*"
SPLITS = tuple(dict.fromkeys(WORDS.values()))
_NAME = re.compile(rf"(?:(.*)[ ._-])?({'|'.join(WORDS)}){_SUFFIX}", re.DOTALL)


def split_of(name: str) -> str:
    """Returns which split is meant: 'train', 'validation', 'test', or '' for none of them.

    Case does not matter, and a prefix may come first, as in 'seg_train'.
    """
    found = _NAME.fullmatch(name.strip().lower())
    return WORDS[found[2]] if found else ""


def complete(source: Source, seed: int = 0, keep_validation: bool = False) -> Source:
    """Makes the test split that a data set lacks, and says so.

    A validation split becomes the test split, since results should be those of published photos;
    without one, or where it is needed, a fifth of the training photos is drawn.

    Args:
      source: with any of the splits 'train', 'validation' and 'test'.
      seed: for the draw.
      keep_validation: whether a validation split is to stay one.

    Raises:
      UserError: there is no training split, or only one class.
    """
    splits = {split_of(name) or name: split for name, split in source.splits.items()}
    if len(splits) < len(source.splits):
        raise UserError(
            f"the data {source.name!r} have several splits of one kind "
            f"({', '.join(source.splits)}): leave one of each"
        )
    if "train" not in splits:
        raise UserError(
            f"the data {source.name!r} have no split to train on, only {', '.join(splits)}: "
            "name one 'train'"
        )
    if len(source.class_names) < 2:
        found = "one class, " + repr(source.class_names[0]) if source.class_names else "no class"
        raise UserError(f"the data {source.name!r} have {found}: expected two classes or more")
    if "test" in splits:
        return dataclasses.replace(source, splits=splits)
    if "validation" in splits and not keep_validation:
        splits["test"] = splits.pop("validation")
        how = "its validation split is used for it"
    else:
        train = splits["train"]
        rest, test = stratify(list(train.labels), train.names, TEST_FRACTION, seed, train.groups)
        splits |= {"train": train.take(rest), "test": train.take(test)}
        how = f"of {len(train):,} photos to train on, {len(test):,} are drawn for it"
    log.info("data: %s has no test split: %s", source.name, how)
    return dataclasses.replace(source, splits=splits)


def stratify(
    strata: Sequence[object],
    names: Sequence[str],
    fraction: float,
    seed: int,
    groups: Sequence[str] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Splits examples in two, in proportion to the strata (by the largest remainder method).

    Each stratum keeps at least one example, so fewer are chosen if many strata have only one.
    The choice depends on a hash of (seed, name), not on the order of files or on a library's
    random generator. Groups stay together, see `apportion`; then the numbers are less exact.

    Returns:
      Indices of the rest and of the at most round(fraction * n) chosen ones, int64 and sorted.
    """
    if any(groups):
        part = apportion(strata, names, groups, (1 - fraction, fraction), seed)
        return np.flatnonzero(part == 0), np.flatnonzero(part == 1)
    members: dict[object, list[int]] = {}
    for index, stratum in enumerate(strata):
        members.setdefault(stratum, []).append(index)
    keys = sorted(members, key=str)
    quotas = {key: fraction * len(members[key]) for key in keys}
    counts = {key: int(quotas[key]) for key in keys}
    short = round(fraction * len(strata)) - sum(counts.values())
    able = [key for key in keys if counts[key] + 1 < len(members[key])]
    by_remainder = sorted(able, key=lambda key: counts[key] - quotas[key])
    for key in by_remainder[:short]:
        counts[key] += 1

    def rank(index: int) -> bytes:
        return hashlib.sha256(f"{seed}/{names[index]}".encode("utf-8", "surrogateescape")).digest()

    chosen = [i for key in keys for i in sorted(members[key], key=rank)[: counts[key]]]
    rest = np.setdiff1d(np.arange(len(strata)), chosen)
    return rest.astype(np.int64), np.sort(np.asarray(chosen, np.int64))


def hold_out(split: Split, fraction: float, seed: int = 0) -> tuple[Split, Split]:
    """Holds out part of a split for validation, in proportion to the classes.

    Returns:
      (train, validation), which depend on the seed but not on the order of the files.

    Raises:
      UserError: the fraction leaves one side empty.
    """
    if not 0 < fraction < 1:
        raise UserError(f"validation fraction {fraction} is not between 0 and 1: try 0.1")
    rest, chosen = stratify(list(split.labels), split.names, fraction, seed, split.groups)
    if not len(rest) or not len(chosen):
        what = f"{len({*split.groups})} groups" if any(split.groups) else f"{len(split)} examples"
        raise UserError(
            f"a validation fraction of {fraction} of {what} leaves one side empty: "
            "choose another fraction"
        )
    return split.take(rest), split.take(chosen)

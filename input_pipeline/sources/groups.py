"""Groups of photos, such as those of one patient, which no drawn split separates; and folds."""

import collections
import dataclasses
import hashlib
import logging
import re
from collections.abc import Sequence

import numpy as np

from efficientnet.errors import UserError
from input_pipeline.sources.split import Source, Split

log = logging.getLogger(__name__)

EVERY = ("every label",)  # equal to no label


def grouped(source: Source, pattern: str) -> Source:
    """Groups photos by a pattern in their names, or leaves the groups that the data set names.

    Warns if photos of one group are in several splits of the data set.

    Args:
      source: any.
      pattern: a regular expression found somewhere in each name, whose one group in brackets is the
        name of the photo's group; '' for none.

    Raises:
      UserError: the pattern is none, or there are names without it.
    """
    if pattern:
        splits = {
            name: dataclasses.replace(split, groups=_groups_of(split.names, pattern))
            for name, split in source.splits.items()
        }
        source = dataclasses.replace(source, splits=splits)
    found = collections.Counter(
        group for split in source.splits.values() for group in {*split.groups} if group
    )
    shared = sorted(group for group, splits in found.items() if splits > 1)
    if shared:
        log.warning(
            "%d of %d groups, such as %r, have photos in several splits of %s: results on photos "
            "of a group that is trained on say little about other groups",
            *(len(shared), len(found), shared[0], source.name),
        )
    return source


def _groups_of(names: Sequence[str], pattern: str) -> list[str]:
    try:
        compiled = re.compile(pattern)
    except re.error:
        compiled = re.compile("")
    if compiled.groups != 1:
        raise UserError(
            f"config.data.group is {pattern!r}: expected a regular expression with one group in "
            "brackets, such as '(patient\\d+)_'"
        )
    found = [compiled.search(name) for name in names]
    missing = [name for name, match in zip(names, found, strict=True) if not (match and match[1])]
    if missing:
        raise UserError(
            f"config.data.group is {pattern!r}: {len(missing)} of {len(names)} names have no such "
            f"group, the first is {missing[0]!r}"
        )
    return [match[1] for match in found if match]


def apportion(
    labels: Sequence[object],
    names: Sequence[str],
    groups: Sequence[str],
    shares: Sequence[float],
    seed: int,
) -> np.ndarray:
    """Divides photos into parts, with every group in one part and the labels as even as it goes.

    Group by group, from large to small, joins the part where Pearson's chi-squared statistic of the
    numbers of photos, of each label and of all, compared with those expected from the shares, grows
    least. Of groups of about the same size a hash of (seed, group) decides which is first, not the
    order of files.

    Args:
      labels: of n photos.
      names: of the n photos.
      groups: of the n photos, '' for a photo by itself; or () if all are.
      shares: of each part, adding up to 1.
      seed: of the draw.

    Returns:
      The part of each photo, int64 [n].
    """
    members: dict[tuple[str, str], list[int]] = {}
    for index, name in enumerate(names):
        group = groups[index] if groups else ""
        members.setdefault((group, "" if group else name), []).append(index)

    def counted(indices: Sequence[int]) -> collections.Counter[object]:
        counts = collections.Counter[object](labels[index] for index in indices)
        counts[EVERY] = len(indices)
        return counts

    def rank(key: tuple[str, str]) -> tuple[int, bytes]:
        text = f"{seed}/{''.join(key)}".encode("utf-8", "surrogateescape")
        return -len(members[key]).bit_length(), hashlib.sha256(text).digest()

    total = counted(range(len(names)))
    have = [collections.Counter[object]() for _ in shares]
    part = np.zeros(len(names), np.int64)
    for key in sorted(members, key=rank):
        new = counted(members[key])
        in_order = sorted(new, key=str)  # because sums of floats depend on it
        growth = [
            sum(new[label] * (2 * had[label] + new[label]) / total[label] for label in in_order)
            / share
            for had, share in zip(have, shares, strict=True)
        ]
        chosen = int(np.argmin(growth))
        have[chosen].update(new)
        part[members[key]] = chosen
    return part


def fold(split: Split, folds: int, number: int, seed: int = 0) -> tuple[Split, Split]:
    """Divides a split into folds, alike in their labels, and takes one for validation.

    Returns:
      (train, validation): all other folds, and fold `number`. The folds depend on the seed but not
      on the order of the files, and every photo is in one fold.

    Raises:
      UserError: a fold would be empty.
    """
    labels = split.labels.tolist()
    part = apportion(labels, split.names, split.groups, [1 / folds] * folds, seed)
    if len(np.unique(part)) < folds:
        what = f"{len({*split.groups})} groups" if split.groups else f"{len(split)} photos"
        raise UserError(f"config.data.folds is {folds}: the data have only {what} to divide")
    return split.take(np.flatnonzero(part != number)), split.take(np.flatnonzero(part == number))

"""Photos of a data set that are the same photo, or nearly so."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.sparse

from input_pipeline.audit import near_duplicates
from input_pipeline.audit.photos import THUMBNAIL, Photo

# Shows progress: (title, number of images) -> a context with `update(images)`, such as tqdm.
Progress = Callable[[str, int], Any]

# A chain of so many near duplicates, in photos and as a share of all, is a kind of photo: solar
# cells, X-rays and frames of a video look alike without being the same.
LEAST_ALIKE, SHARE_ALIKE = 10, 0.02


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two photos that are the same: to the byte, or as far as people can see.

    Attributes:
      first: the one that comes first in the data set.
      second: the other one.
      similarity: correlation of their details; 1 if the bytes are the same.
      exact: whether they are.
    """

    first: Photo
    second: Photo
    similarity: float
    exact: bool

    @property
    def must_mend(self) -> bool:
        """Whether the photo stands in two splits or has two labels."""
        return self.first.place != self.second.place


def find(photos: Sequence[Photo], progress: Progress) -> tuple[list[Pair], list[list[Photo]]]:
    """Finds duplicates.

    Returns:
      Pairs, exact ones first; and groups of photos that look alike in general, among which no pairs
      are named.
    """
    pairs: list[Pair] = []
    first_of: dict[bytes, Photo] = {}
    for photo in photos:
        if photo.measured:
            first = first_of.setdefault(photo.measured.digest, photo)
            if first is not photo:
                pairs.append(Pair(first, photo, 1.0, exact=True))
    different = list(first_of.values())
    thumbnails = [photo.measured.thumbnail for photo in different if photo.measured]
    with progress("compare", 2 * len(different)) as bar:
        near = near_duplicates.find(
            np.array(thumbnails, np.uint8).reshape(-1, THUMBNAIL, THUMBNAIL), bar.update
        )
    group_of = _groups(len(different), near)
    sizes = np.bincount(group_of, minlength=1)
    large = sizes > max(LEAST_ALIKE, SHARE_ALIKE * len(different))
    pairs += [
        Pair(different[one], different[other], similarity, exact=False)
        for one, other, similarity in near
        if not large[group_of[one]]
    ]
    alike = [
        [different[index] for index in np.flatnonzero(group_of == group)]
        for group in np.flatnonzero(large)
    ]
    return pairs, alike


def _groups(count: int, pairs: Sequence[near_duplicates.Pair]) -> np.ndarray:
    """Returns the number of each photo's group, int32 [count]: pairs are in the same group."""
    one, other = [pair.first for pair in pairs], [pair.second for pair in pairs]
    graph = scipy.sparse.coo_array((np.ones(len(pairs)), (one, other)), (count, count))
    return scipy.sparse.csgraph.connected_components(graph, directed=False)[1]

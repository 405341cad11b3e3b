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
      Pairs, exact ones first; and groups of photos that look alike, as dozens of others do: solar
      cells, X-rays or frames of a video. The largest group comes first.
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
    pairs += [
        Pair(different[pair.first], different[pair.second], pair.similarity, exact=False)
        for pair in near
        if pair.distinct
    ]
    return pairs, _groups(different, [pair for pair in near if not pair.distinct])


def _groups(photos: Sequence[Photo], pairs: Sequence[near_duplicates.Pair]) -> list[list[Photo]]:
    """Returns groups of photos that are connected by pairs, the largest first."""
    one, other = [pair.first for pair in pairs], [pair.second for pair in pairs]
    graph = scipy.sparse.coo_array((np.ones(len(pairs)), (one, other)), (len(photos), len(photos)))
    group_of = scipy.sparse.csgraph.connected_components(graph, directed=False)[1]
    sizes = np.bincount(group_of, minlength=1)
    return [
        [photos[index] for index in np.flatnonzero(group_of == group).tolist()]
        for group in np.argsort(-sizes, kind="stable")
        if sizes[group] > 1
    ]


def most_alike(
    photos: Sequence[Photo], features: np.ndarray, known: Sequence[Pair], count: int
) -> list[Pair]:
    """Returns pairs of a photo and the one that is most alike to a network, the closest first.

    Args:
      photos: all of the data set.
      features: float32 [n, features] by the network, of the photos; anything for unreadable ones.
      known: pairs to leave out.
      count: how many pairs to return, at most.
    """
    readable = np.flatnonzero([photo.measured is not None for photo in photos])
    rows = features[readable] - features[readable].mean(axis=0)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    left_out = {(pair.first.key, pair.second.key) for pair in known}
    best: dict[tuple[int, int], float] = {}
    for start in range(0, len(rows), near_duplicates.BLOCK):
        similar = rows[start : start + near_duplicates.BLOCK] @ rows.T
        for row, line in enumerate(similar, start):
            line[row] = -1
            for other in np.argsort(-line)[: near_duplicates.MOST_CANDIDATES].tolist():
                one, two = sorted((row, other))
                pair = photos[readable[one]].key, photos[readable[two]].key
                if one != two and pair not in left_out:
                    best[one, two] = float(line[other])
                    break
    closest = sorted(best.items(), key=lambda item: -item[1])[:count]
    return [
        Pair(photos[readable[one]], photos[readable[two]], similarity, exact=False)
        for (one, two), similarity in closest
    ]

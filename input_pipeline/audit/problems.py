"""Problems of a data set, found by reading all of it."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from input_pipeline.audit import duplicates, photos
from input_pipeline.audit.duplicates import Pair, Progress
from input_pipeline.audit.photos import Photo
from input_pipeline.sources.split import Source


@dataclasses.dataclass(frozen=True)
class Problem:
    """A problem.

    Attributes:
      kind: such as 'broken', 'duplicate' or 'empty class'.
      name: of the photo or class.
      detail: what is wrong.
      must_mend: whether results are worth little until it is mended.
    """

    kind: str
    name: str
    detail: str
    must_mend: bool = False


@dataclasses.dataclass(frozen=True)
class Audit:
    """What was found in a data set.

    Attributes:
      source: the data set.
      photos: all of them, split by split.
      pairs: photos that are the same.
      alike: groups of photos that look alike without being the same, see `duplicates.find`.
      similar: what a network finds most alike besides, if there is one.
    """

    source: Source
    photos: Sequence[Photo]
    pairs: Sequence[Pair]
    alike: Sequence[Sequence[Photo]]
    similar: Sequence[Pair] = ()

    def counts(self, split: str) -> list[int]:
        """Returns the number of photos of each class in a split."""
        classes = len(self.source.class_names)
        return np.bincount(self.source.splits[split].labels, minlength=classes).tolist()

    def problems(self) -> Iterator[Problem]:
        """Yields all problems: of photos, pairs and classes, then photos that are hard to see.

        A photo is broken if it can't be read. A pair must be mended if the photo stands in two
        splits or has two labels, and a class if it has no photo or only one to train on.
        """
        for photo in self.photos:
            if not photo.measured:
                yield Problem("broken", photo.name, photo.error, must_mend=True)
        for pair in self.pairs:
            kind, same = (
                ("duplicate", "the same as")
                if pair.exact
                else ("near duplicate", f"{pair.similarity:.2f} like")
            )
            here, there = self.where(pair.second), self.where(pair.first)
            rest = "in the same split and class: keep one" if here == there else f"but here {here}"
            detail = f"{same} {pair.first.name} ({there}), {rest}"
            yield Problem(kind, pair.second.name, detail, pair.must_mend)
        yield from self._classes()
        for group in self.alike:
            detail = (
                f"looks like {len(group) - 1} other photos: if they are of one thing, see group"
            )
            yield Problem("alike", group[0].name, detail)
        for photo in self.photos:
            if photo.measured and photo.measured.flaw:
                yield Problem(photo.measured.flaw, photo.name, self.where(photo))

    def where(self, photo: Photo) -> str:
        """Returns a photo's split and class, for people."""
        return f"{photo.split}, {self.source.class_names[photo.label]}"

    def _classes(self) -> Iterator[Problem]:
        for name, trained in zip(self.source.class_names, self.counts("train"), strict=True):
            if not trained:
                yield Problem("empty class", name, "no photo in the train split", must_mend=True)
            elif trained == 1:
                detail = "the train split has no other photo of it"
                yield Problem("one-photo class", name, detail, must_mend=True)
        for split in self.source.splits:
            for name, count in zip(self.source.class_names, self.counts(split), strict=True):
                if not count and split != "train":
                    yield Problem("untested class", name, f"no photo in the {split} split")


def audit(source: Source, progress: Progress) -> Audit:
    """Decodes every photo and compares it with all others.

    Args:
      source: the data set.
      progress: shows how far it is.
    """
    found = []
    with progress("read", sum(map(len, source.splits.values()))) as bar:
        for photo in photos.examine(source):
            found.append(photo)
            bar.update()
    return Audit(source, found, *duplicates.find(found, progress))

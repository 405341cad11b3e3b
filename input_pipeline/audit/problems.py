"""Problems of a data set, found by reading all of it."""

import collections
import dataclasses
import hashlib
from collections.abc import Iterator

from input_pipeline import decode
from input_pipeline.audit.survey import survey
from input_pipeline.sources.split import Source


@dataclasses.dataclass(frozen=True)
class Problem:
    """A problem: its kind ('broken', 'duplicate', 'empty class'), where it is, and details."""

    kind: str
    name: str
    detail: str


def find_problems(source: Source) -> Iterator[Problem]:
    """Decodes every photo and yields problems as they are found.

    A photo is broken if it can't be read, and a duplicate if an earlier photo has the same bytes; a
    class is empty if it has no training photos.
    """
    seen: dict[bytes, tuple[str, str]] = {}
    for split_name, split in source.splits.items():
        for index, encoded, reason in survey(split, range(len(split)), _decodable):
            digest = hashlib.sha256(encoded).digest()
            name = split.names[index]
            here = f"{split_name}, {source.class_names[split.labels[index]]}"
            if reason:
                yield Problem("broken", name, reason)
            elif digest in seen:
                other, there = seen[digest]
                rest = (
                    "in the same split and class: keep one" if there == here else f"but here {here}"
                )
                yield Problem("duplicate", name, f"the same as {other} ({there}), {rest}")
            else:
                seen[digest] = name, here
    trained = collections.Counter(source.splits["train"].labels.tolist())
    for label, class_name in enumerate(source.class_names):
        if not trained[label]:
            yield Problem("empty class", class_name, "no photo in the train split")


def _decodable(encoded: bytes) -> bytes:
    """Returns the photo unchanged, after decoding it."""
    decode.decode(encoded, 3)
    return encoded

"""What is wrong with a data set, found by reading all of it."""

import collections
import dataclasses
import hashlib
from collections.abc import Iterator

from input_pipeline import decode
from input_pipeline.sources.split import Source
from input_pipeline.survey import survey


@dataclasses.dataclass(frozen=True)
class Problem:
    """One thing to mend: its kind ('broken', 'duplicate', 'empty class'), where, and why."""

    kind: str
    name: str
    detail: str


def find_problems(source: Source) -> Iterator[Problem]:
    """Decodes every photo; yields problems as they are found.

    A photo is broken if it can't be read, a duplicate if the same bytes stand in another split or
    under another label, and a class is empty if nothing trains it.
    """
    seen: dict[bytes, tuple[str, str, int]] = {}
    for split_name, split in source.splits.items():
        for index, encoded, reason in survey(split, range(len(split)), _decodable):
            digest = hashlib.sha256(encoded).digest()
            name, label = split.names[index], int(split.labels[index])
            if reason:
                yield Problem("broken", name, reason)
            elif digest in seen:
                other_split, other_name, other_label = seen[digest]
                if (other_split, other_label) != (split_name, label):
                    yield Problem(
                        "duplicate",
                        name,
                        f"the same as {other_name} ({other_split}, "
                        f"{source.class_names[other_label]}), but here {split_name}, "
                        f"{source.class_names[label]}",
                    )
            else:
                seen[digest] = (split_name, name, label)
    trained = collections.Counter(source.splits["train"].labels.tolist())
    for label, class_name in enumerate(source.class_names):
        if not trained[label]:
            yield Problem("empty class", class_name, "no photo in the train split")


def _decodable(encoded: bytes) -> bytes:
    """The photo itself, once it is decoded."""
    decode.decode(encoded, 3)
    return encoded

"""Data sets that hold encoded photos and labels row by row; the photos are kept in memory."""

import dataclasses
from collections.abc import Mapping, Sequence

from efficientnet.errors import UserError
from input_pipeline.sources.labels import check_names, names_of, positions, text_of
from input_pipeline.sources.split import Source, Split, from_encoded


@dataclasses.dataclass(frozen=True)
class Rows:
    """The rows of one split.

    Attributes:
      place: where they were read, for messages, such as "train of 'cifar100'".
      photos: encoded.
      labels: as they stand in the data, see `labels.text_of`.
      class_names: in label order, if the data name them; labels may then be numbers from 0.
      groups: of the photos, None or '' for a photo by itself; () if there are none.
    """

    place: str
    photos: Sequence[bytes]
    labels: Sequence[object]
    class_names: Sequence[str] = ()
    groups: Sequence[object] = ()

    def row(self, number: int) -> str:
        """Returns what messages call a row."""
        return f"row {number} of {self.place}"


def source_of(name: str, tables: Mapping[str, Rows]) -> Source:
    """Returns a data set of the rows of each split, of which there is at least one.

    The classes are those that the data name, or else the labels of the training photos.

    Raises:
      UserError: a label is none or of no class, a class is named twice, or the splits name other
        classes.
    """
    labels = {
        split: [text_of(label, rows.row(number)) for number, label in enumerate(rows.labels)]
        for split, rows in tables.items()
    }
    first = "train" if "train" in tables else next(iter(tables))
    origin = tables[first].place
    names = list(tables[first].class_names) or names_of(labels[first], origin)
    splits: dict[str, Split] = {}
    for split, rows in tables.items():
        check_names(rows.class_names, rows.place)
        if rows.class_names and list(rows.class_names) != names:
            raise UserError(
                f"the metadata of {rows.place} names other classes than that of {origin}, or in "
                "another order: write all splits with the same names"
            )
        texts = any(isinstance(label, str | bytes) for label in rows.labels)
        numbered = bool(rows.class_names) and not texts
        numbers = positions(labels[split], rows.row, names, origin, numbered)
        places = [f"{split}/{number}" for number in range(len(numbers))]
        groups = [str(group or place) for group, place in zip(rows.groups, places, strict=False)]
        splits[split] = from_encoded(rows.photos, places, numbers, groups)
    return Source(name, tuple(names), splits)

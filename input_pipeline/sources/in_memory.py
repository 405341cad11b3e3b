"""Data sets that hold encoded photos and labels row by row; the photos are kept in memory."""

import dataclasses
from collections.abc import Mapping, Sequence

from efficientnet.errors import UserError
from input_pipeline.sources.labels import check_names, names_of, positions, text_of
from input_pipeline.sources.split import Source, Split, from_encoded


@dataclasses.dataclass(frozen=True)
class Table:
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


def source_of(name: str, tables: Mapping[str, Table]) -> Source:
    """Returns the data set of one table or more, by split.

    The classes are those that the data name, or else the labels of the training photos.

    Raises:
      UserError: a label is none or of no class, a class is named twice, or the splits name other
        classes.
    """
    labels = {
        split: [text_of(label, table.row(number)) for number, label in enumerate(table.labels)]
        for split, table in tables.items()
    }
    first = "train" if "train" in tables else next(iter(tables))
    origin = tables[first].place
    names = list(tables[first].class_names) or names_of(labels[first], origin)
    splits: dict[str, Split] = {}
    for split, table in tables.items():
        check_names(table.class_names, table.place)
        if table.class_names and list(table.class_names) != names:
            raise UserError(
                f"the metadata of {table.place} names other classes than that of {origin}, or in "
                "another order: write all splits with the same names"
            )
        texts = any(isinstance(label, str | bytes) for label in table.labels)
        numbered = bool(table.class_names) and not texts
        numbers = positions(labels[split], table.row, names, origin, numbered)
        places = [f"{split}/{number}" for number in range(len(numbers))]
        groups = [str(group or place) for group, place in zip(table.groups, places, strict=False)]
        splits[split] = from_encoded(table.photos, places, numbers, groups)
    return Source(name, tuple(names), splits)

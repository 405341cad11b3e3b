"""A table of corrected labels, as scripts/cross_validate.py writes it for a spreadsheet.

    name,label,suggested,score
    daisy/17.jpg,tulip,tulip,0.0031

Other columns than name and label are ignored. A photo with an empty label is left out; photos that
the table does not list keep their labels.
"""

import csv
import dataclasses
import io
import logging

import numpy as np
from etils import epath

from efficientnet.errors import UserError
from input_pipeline.sources.split import Source

log = logging.getLogger(__name__)

LEFT_OUT = -1


def corrected(source: Source, table: epath.Path) -> Source:
    """Returns a data set with the labels of a table, in all splits.

    Raises:
      UserError: the table can't be read, names a photo twice or one that the data don't have, or
        has a label that is no class.
    """
    labels = _read(table, source)
    splits, changed, left_out = {}, 0, 0
    for name, split in source.splits.items():
        new = np.array(
            [labels.pop(photo, old) for photo, old in zip(split.names, split.labels, strict=True)],
            np.int32,
        )
        kept = np.flatnonzero(new != LEFT_OUT)
        changed += int((new != split.labels)[kept].sum())
        left_out += len(split) - len(kept)
        splits[name] = dataclasses.replace(split, labels=new).take(kept)
    if labels:
        raise UserError(
            f"{table} names {len(labels)} photos that the data {source.name!r} don't have, the "
            f"first is {next(iter(labels))!r}: use the table of these data"
        )
    log.info("data: labels corrected: %d, photos left out: %d", changed, left_out)
    return dataclasses.replace(source, splits=splits)


def _read(table: epath.Path, source: Source) -> dict[str, int]:
    """Returns the label of each photo that the table names; `LEFT_OUT` without one."""
    try:
        text = table.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"config.data.corrections is {table}: there is no such file") from None
    except (OSError, UnicodeError) as error:
        raise UserError(f"{table} can't be read, expected CSV in UTF-8: {error}") from None
    header = text.partition("\n")[0]
    # In many languages spreadsheets write semicolons.
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count))
    if not {"name", "label"} <= {*(rows.fieldnames or ())}:
        raise UserError(f"{table} begins with {header.strip()!r}: expected columns name and label")
    label_of = {name: label for label, name in enumerate(source.class_names)} | {"": LEFT_OUT}
    found: dict[str, int] = {}
    for row in rows:
        place, name, label = f"{table}, line {rows.line_num},", row["name"], row["label"]
        if not name or label is None:
            raise UserError(f"{place} has no name or no label: both columns are needed")
        if name in found:
            raise UserError(f"{place} names {name!r} again: keep one of its lines")
        if label not in label_of:
            raise UserError(
                f"{place} has label {label!r}, which is none of the {len(source.class_names)} "
                "classes: correct it"
            )
        found[name] = label_of[label]
    return found

"""A table of photos, as CSV with a header or as JSON lines: path, label and optionally
split and group.

    path,label,split,group
    photos/1.jpg,daisy,train,plant 7

Paths are relative to the table. Labels are names, or numbers from 0. A file class_names.txt next
to the table, with one name per line, determines the label order; without it names are sorted, and
numbers are the labels themselves, of which only a few may have no photo. Photos of one group, such
as one patient, stay together where splits are drawn; without a group, a photo is for itself.
"""

import csv
import io
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, cast

from etils import epath

from efficientnet.errors import UserError
from input_pipeline.sources.folders import SPLITS
from input_pipeline.sources.split import Source, from_files, numbered_classes, refuse_bytes

TABLES = ("manifest.csv", "manifest.jsonl")
NAMES_FILE = "class_names.txt"
NUMBER = re.compile(r"-?\d{1,18}")


class _Row(NamedTuple):
    """A photo of a table, and where it is listed."""

    place: str
    path: str
    label: str
    split: str  # or ''
    group: str  # or ''


def load(directory: epath.Path) -> Source:
    """Opens a table, or a folder with a manifest.csv or manifest.jsonl.

    Raises:
      UserError: the table is missing or unreadable, a row has no path or label or a wrong label or
        split, a photo is missing, or a class is named twice.
    """
    table = directory if directory.is_file() else _find(directory)
    rows = list(_rows(table))
    if not rows:
        raise UserError(f"{table} lists no photo: add rows with path and label")
    names_file = table.parent / NAMES_FILE
    class_names = _class_names(names_file, table, {row.label for row in rows})
    refuse_bytes(class_names)
    label_of = {name: label for label, name in enumerate(class_names)}
    splits: dict[str, list[_Row]] = {}
    for row in rows:
        splits.setdefault(row.split or "train", []).append(row)
    if any(row.split for row in rows) and not all(row.split for row in rows):
        raise UserError(f"{table} gives a split to some photos only: give it to all or to none")
    grouped = any(row.group for row in rows)
    opened = {
        split: from_files(
            table.parent,
            [row.path for row in found],
            [_label(row.label, label_of, row.place) for row in found],
            [row.group or row.path for row in found] if grouped else (),
        )
        for split, found in splits.items()
    }
    return Source(table.stem, tuple(class_names), opened)


def _find(directory: epath.Path) -> epath.Path:
    found = [directory / name for name in TABLES if (directory / name).is_file()]
    if len(found) != 1:
        raise UserError(
            f"{len(found)} tables in {directory}: expected either {TABLES[0]} or {TABLES[1]}"
        )
    return found[0]


def _rows(table: epath.Path) -> Iterator[_Row]:
    for number, record in (_json_records if table.suffix == ".jsonl" else _csv_records)(table):
        place = f"{table}, line {number}"
        path, label, split, group = (
            "" if record.get(column) is None else str(record[column]).strip()
            for column in ("path", "label", "split", "group")
        )
        if not path or not label:
            raise UserError(f"{place}, has no path or no label: both are needed")
        if len((path + label).splitlines()) > 1:  # such as after an unclosed quote
            raise UserError(f"{place}, has a line break in its path or label: remove it")
        if split and split.lower() not in SPLITS:
            raise UserError(f"{place}, names split {split!r}: expected {', '.join(SPLITS)}")
        yield _Row(place, path, label, SPLITS.get(split.lower(), ""), group)


def _json_records(table: epath.Path) -> Iterator[tuple[int, Mapping[str, object]]]:
    for number, line in enumerate(io.StringIO(_text(table), newline=None), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise UserError(f"{table}, line {number}, is not JSON: {error}") from None
        if not isinstance(record, dict):
            raise UserError(
                f"{table}, line {number}, is not a JSON object: expected path and label"
            )
        yield number, {_column(name): value for name, value in record.items()}


def _csv_records(table: epath.Path) -> Iterator[tuple[int, Mapping[str, object]]]:
    text = io.StringIO(_text(table), newline="")
    reader = csv.DictReader(text, skipinitialspace=True)
    try:
        header = reader.fieldnames or ()
        columns = [_column(name) for name in header]
        if header and not (columns.count("path") == columns.count("label") == 1):
            raise UserError(
                f"{table} begins with the columns {', '.join(map(repr, header))}: expected path, "
                "label and optionally split, separated by commas"
            )
        reader.fieldnames = columns
        for record in reader:
            yield reader.line_num, record
    except csv.Error as error:
        raise UserError(f"{table}, line {reader.reader.line_num}, is not CSV: {error}") from None


def _column(name: str) -> str:
    return name.strip().lower()


def _text(file: epath.Path) -> str:
    try:
        return cast(bytes, file.read_bytes()).decode("utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise UserError(f"{file} is not readable, expected text in UTF-8: {error}") from None


def _class_names(names_file: epath.Path, table: epath.Path, labels: set[str]) -> Sequence[str]:
    if names_file.is_file():
        names = [line.strip() for line in _text(names_file).splitlines() if line.strip()]
        for earlier, name in itertools.pairwise(sorted(names)):
            if earlier == name:
                raise UserError(f"{names_file} has {name!r} twice: give each class its own name")
        return names
    if not all(map(NUMBER.fullmatch, labels)):
        return sorted(labels)
    name_all = f"name all, one a line, in {names_file}"
    return numbered_classes({int(label) for label in labels}, str(table), name_all)


def _label(label: str, label_of: Mapping[str, int], place: str) -> int:
    if label in label_of:
        return label_of[label]
    if NUMBER.fullmatch(label) and 0 <= int(label) < len(label_of):
        return int(label)
    raise UserError(
        f"{place}, has label {label!r}, which is none of the {len(label_of)} classes: correct it"
    )

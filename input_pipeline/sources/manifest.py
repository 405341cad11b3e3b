"""A table of photos, as CSV with a header or as JSON lines.

    path,label,split,group
    photos/1.jpg,daisy,train,plant 7

Only path and label are needed. Paths are relative to the table. A label is the name of a class; the
classes are in the order of their names, see `labels`. A file class_names.txt next to the table,
with one name per line, gives another order, and labels may then be numbers from 0. Photos of one
group, such as one patient, stay together where splits are drawn; without a group, a photo is for
itself.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import NamedTuple, cast

import numpy as np
from etils import epath

from efficientnet.errors import UserError
from input_pipeline.sources.labels import check_names, names_of, positions, text_of
from input_pipeline.sources.split import Source, from_files, refuse_bytes
from input_pipeline.sources.splitting import WORDS, split_of

TABLES = ("manifest.csv", "manifest.jsonl")
NAMES_FILE = "class_names.txt"


class Row(NamedTuple):
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
    rows = list(read_rows(table))
    if not rows:
        raise UserError(f"{table} lists no photo: add rows with path and label")
    names_file = table.parent / NAMES_FILE
    listed = names_file.is_file()
    labels = [row.label for row in rows]
    class_names = _listed(names_file) if listed else names_of(labels, str(table))
    refuse_bytes(class_names)
    numbered = listed and not set(labels) & set(class_names)
    numbers = positions(
        labels, lambda row: f"{rows[row].place},", class_names, str(names_file), numbered
    )
    words = sorted({row.split for row in rows})
    if "" in words and len(words) > 1:
        raise UserError(f"{table} gives a split to some photos only: give it to all or to none")
    split_names = [split_of(row.split) or "train" for row in rows]
    if len(words) > len(set(split_names)):
        raise UserError(
            f"{table} has several names of one split ({', '.join(words)}): use one name for each"
        )
    grouped = any(row.group for row in rows)
    groups = [row.group or row.path for row in rows] if grouped else ()
    photos = from_files(table.parent, [row.path for row in rows], numbers, groups)
    splits = {
        split: photos.take(np.flatnonzero(np.array(split_names) == split))
        for split in dict.fromkeys(split_names)
    }
    return Source(table.stem, tuple(class_names), splits)


def _find(directory: epath.Path) -> epath.Path:
    found = [directory / name for name in TABLES if (directory / name).is_file()]
    if len(found) != 1:
        raise UserError(
            f"{len(found)} tables in {directory}: expected either {TABLES[0]} or {TABLES[1]}"
        )
    return found[0]


def read_rows(table: epath.Path) -> Iterator[Row]:
    """Yields the photos that a table lists.

    Raises:
      UserError: the table is unreadable, or a row has no path or label or a wrong label or split.
    """
    for number, record in (_json_records if table.suffix == ".jsonl" else _csv_records)(table):
        place = f"{table}, line {number}"
        path, split, group = (
            "" if record.get(column) is None else str(record[column]).strip()
            for column in ("path", "split", "group")
        )
        given = record.get("label")
        if not path or given in (None, ""):
            raise UserError(f"{place}, has no path or no label: both are needed")
        label = text_of(given, f"{place},").strip()
        if len((path + label).splitlines()) > 1:  # such as after an unclosed quote
            raise UserError(f"{place}, has a line break in its path or label: remove it")
        if split and not split_of(split):
            raise UserError(f"{place}, names split {split!r}: expected {', '.join(WORDS)}")
        yield Row(place, path, label, split.lower(), group)


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
            if any(cell.strip() for cell in record.pop(None, ())):
                raise UserError(
                    f"{table}, line {reader.line_num}, has more cells than the header: put a text "
                    "with commas in quotes"
                )
            yield reader.line_num, record
    except csv.Error as error:
        raise UserError(f"{table}, line {reader.reader.line_num}, is not CSV: {error}") from None


def _column(name: str) -> str:
    name = name.strip().lower()
    return "path" if name == "file_name" else name  # as the Hugging Face Hub calls it


def _text(file: epath.Path) -> str:
    try:
        return cast(bytes, file.read_bytes()).decode("utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise UserError(f"{file} is not readable, expected text in UTF-8: {error}") from None


def _listed(names_file: epath.Path) -> list[str]:
    names = [line.strip() for line in _text(names_file).splitlines() if line.strip()]
    check_names(names, str(names_file))
    return names

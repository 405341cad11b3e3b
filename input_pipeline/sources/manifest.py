"""A table of photos, as CSV with a header or as JSON lines: path, label and optionally split.

    path,label,split
    photos/1.jpg,daisy,train

Paths are relative to the table. Labels are names, or numbers from 0. A file class_names.txt next
to the table, one name a line, fixes the label order; without it names are sorted, and numbers
stand for themselves. Without splits a fifth of the photos becomes the test split.
"""

import csv
import json
from collections.abc import Iterator

from etils import epath

from efficientnet.errors import UserError
from input_pipeline.sources.folders import SPLITS, TEST_FRACTION
from input_pipeline.sources.split import Source, from_files, stratify

TABLES = ("manifest.csv", "manifest.jsonl")
NAMES_FILE = "class_names.txt"


def load(directory: epath.Path, seed: int = 0) -> Source:
    """Opens a table, or the folder of a manifest.csv or manifest.jsonl.

    Raises:
      UserError: no table, a row without path or label, a wrong label or split, a missing photo.
    """
    table = directory if directory.is_file() else _find(directory)
    rows = list(_rows(table))
    if not rows:
        raise UserError(f"{table} lists no photo: add rows with path and label")
    names_file = table.parent / NAMES_FILE
    class_names = _class_names(names_file, [label for _, _, label, _ in rows])
    splits: dict[str, tuple[list[str], list[int]]] = {}
    for place, path, label, split in rows:
        paths, labels = splits.setdefault(split, ([], []))
        paths.append(path)
        labels.append(_label(label, class_names, place))
    opened = {split: from_files(table.parent, *parts) for split, parts in splits.items()}
    if set(opened) == {""}:
        photos = opened[""]
        train, test = stratify(list(photos.labels), photos.names, TEST_FRACTION, seed)
        opened = {"train": photos.take(train), "test": photos.take(test)}
    elif "" in opened:
        raise UserError(f"{table} gives a split to some photos only: give it to all or to none")
    elif "train" not in opened:
        raise UserError(f"{table} has no photo in split 'train': name one split train")
    return Source(table.stem, tuple(class_names), opened)


def _find(directory: epath.Path) -> epath.Path:
    found = [directory / name for name in TABLES if (directory / name).is_file()]
    if len(found) != 1:
        raise UserError(
            f"{len(found)} tables in {directory}: expected either {TABLES[0]} or {TABLES[1]}"
        )
    return found[0]


def _rows(table: epath.Path) -> Iterator[tuple[str, str, str, str]]:
    """Yields (place in the file, path, label, split or '')."""
    try:
        text = table.read_bytes().decode("utf-8-sig")
        if table.suffix == ".jsonl":
            records = [json.loads(line) for line in text.splitlines() if line.strip()]
            first = 1
        else:
            records = list(csv.DictReader(text.splitlines()))
            first = 2
    except (OSError, UnicodeError, json.JSONDecodeError, csv.Error) as error:
        raise UserError(f"{table} is not a readable table: {error}") from None
    for number, record in enumerate(records, first):
        place = f"{table}, line {number}"
        if not isinstance(record, dict) or not all(
            str(record.get(column, "") if record.get(column) is not None else "").strip()
            for column in ("path", "label")
        ):
            raise UserError(f"{place}, has no path or no label: both columns are needed")
        split = str(record.get("split") or "").strip()
        if split and split not in SPLITS:
            raise UserError(f"{place}, names split {split!r}: expected {', '.join(SPLITS)}")
        path, label = str(record["path"]).strip(), str(record["label"]).strip()
        yield place, path, label, SPLITS.get(split, "")


def _class_names(names_file: epath.Path, labels: list[str]) -> list[str]:
    if names_file.is_file():
        lines = names_file.read_bytes().decode("utf-8-sig").splitlines()
        return [line.strip() for line in lines if line.strip()]
    if all(_is_number(label) for label in labels):
        return [str(number) for number in range(max(map(int, labels)) + 1)]
    return sorted(set(labels))


def _is_number(label: str) -> bool:
    return label.lstrip("-").isdecimal()


def _label(label: str, class_names: list[str], place: str) -> int:
    if label in class_names:
        return class_names.index(label)
    if _is_number(label) and 0 <= int(label) < len(class_names):
        return int(label)
    raise UserError(
        f"{place}, has label {label!r}, which is none of the {len(class_names)} classes: correct it"
    )

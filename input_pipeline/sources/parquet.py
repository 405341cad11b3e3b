"""Parquet files with encoded photos and labels, as Hugging Face data sets are stored.

    train-00000-of-00002.parquet          in the folder itself or in data/
    test-00000-of-00001.parquet

The split is the name up to the first '-' (or '.'); only train, test and validation are read.
`image` is binary or a struct with `bytes`. `label` is text or an integer, whose names may be in the
file's Hugging Face metadata. The encoded photos are held in memory.
"""

import json
from collections.abc import Sequence
from typing import Any

from etils import epath

from efficientnet.errors import UserError
from input_pipeline.sources.split import Source, from_encoded, numbered_classes

SPLITS = ("train", "validation", "test")
IMAGE_COLUMNS = ("image", "img")
GROUP_COLUMN = "group"
LABEL_COLUMNS = ("label", "labels", "fine_label")


def load(directory: epath.Path) -> Source:
    """Opens the parquet files of train, test and validation.

    Raises:
      UserError: pyarrow or the train files are missing, or the columns are wrong.
    """
    tables = _read(directory)
    columns = {split: _columns(table, directory) for split, table in tables.items()}
    class_names = _class_names(tables["train"], columns["train"][1], directory)
    splits = {}
    for split, (image, label) in columns.items():
        photos = tables[split].column(image).to_pylist()
        encoded = [photo["bytes"] if isinstance(photo, dict) else photo for photo in photos]
        labels = []
        for row, value in enumerate(tables[split].column(label).to_pylist()):
            number = _label(value, class_names)
            if not encoded[row] or number is None:
                what = f"label {value!r}" if encoded[row] else "no encoded photo"
                raise UserError(
                    f"row {row} of {split} in {directory} has {what}, expected a photo and one "
                    f"of {len(class_names)} classes: correct the data set"
                )
            labels.append(number)
        names = [f"{split}/{row}" for row in range(len(encoded))]
        groups: list[str] = []
        if GROUP_COLUMN in tables[split].column_names:
            given = tables[split].column(GROUP_COLUMN).to_pylist()
            groups = [str(group or name) for group, name in zip(given, names, strict=True)]
        splits[split] = from_encoded(encoded, names, labels, groups)
    return Source(directory.name, tuple(class_names), splits)


def _read(directory: epath.Path) -> dict[str, Any]:
    """Reads the tables of all existing splits."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise UserError("parquet files need pyarrow: pip install '.[parquet]'") from None
    tables: dict[str, Any] = {}
    for split in SPLITS:
        files = find(directory, split)
        if files:
            try:
                contents = (pyarrow.BufferReader(file.read_bytes()) for file in files)
                parts = [pyarrow.parquet.read_table(content) for content in contents]
                tables[split] = pyarrow.concat_tables(parts)
            except (OSError, pyarrow.ArrowInvalid) as error:
                raise UserError(
                    f"the parquet files of {split} in {directory} can't be read: copy them again "
                    f"({' '.join(str(error).split())})"
                ) from None
    if "train" not in tables:
        raise UserError(f"no train-*.parquet in {directory} or its data folder: check the path")
    return tables


def find(directory: epath.Path, split: str) -> list[epath.Path]:
    """Returns the parquet files of one split, in order."""
    return sorted(
        path
        for folder in (directory, directory / "data")
        if folder.is_dir()
        for path in folder.iterdir()
        if path.suffix == ".parquet" and path.name.replace(".", "-").split("-")[0] == split
    )


def _columns(table: Any, directory: epath.Path) -> tuple[str, str]:
    image = [name for name in IMAGE_COLUMNS if name in table.column_names]
    label = [name for name in LABEL_COLUMNS if name in table.column_names]
    if not image or not label:
        raise UserError(
            f"the parquet files in {directory} have columns {', '.join(table.column_names)}: "
            "expected image and label"
        )
    return image[0], label[0]


def _class_names(table: Any, label: str, directory: epath.Path) -> list[str]:
    metadata = json.loads((table.schema.metadata or {}).get(b"huggingface", b"{}"))
    feature = metadata.get("info", {}).get("features", {}).get(label, {})
    if feature.get("names"):
        return [str(name) for name in feature["names"]]
    values = {value for value in table.column(label).to_pylist() if value is not None}
    if all(isinstance(value, int) for value in values):
        return numbered_classes(values, f"train in {directory}", "write the labels as text")
    return sorted(str(value) for value in values)


def _label(value: Any, class_names: Sequence[str]) -> int | None:
    """Returns the label of a class by its name or number; None if there is no such class."""
    if isinstance(value, str):
        return class_names.index(value) if value in class_names else None
    return int(value) if value is not None and 0 <= value < len(class_names) else None

"""Parquet files with encoded photos and labels, as Hugging Face data sets are stored.

    train-00000-of-00002.parquet          in the folder itself or in data/,
    test-00000-of-00001.parquet           or one folder per split: train/0000.parquet

The split is in the name of the file or its folder; without splits, all are to train on. `image` is
binary or a struct with `bytes`. `label` is a name or a number, whose names may be in the file's
Hugging Face metadata; see `labels`. The encoded photos are held in memory.
"""

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from etils import epath

from efficientnet.errors import UserError
from input_pipeline.sources.in_memory import Table, source_of
from input_pipeline.sources.split import Source
from input_pipeline.sources.splitting import SPLITS, WORDS, split_of

log = logging.getLogger(__name__)

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels", "fine_label")
GROUP_COLUMN = "group"
SUFFIX = ".parquet"
FOLDERS = 2  # how deep files lie in others
# Folders that name no configuration of the data set.
PLAIN_FOLDERS = ("data", "default")
_SPLIT_NAME = re.compile(
    rf"(?:.*?[ ._-])?(?:{'|'.join(WORDS)})(?:[_-]?set)?(?![a-z])", re.IGNORECASE
)


def load(directory: epath.Path) -> Source:
    """Opens the parquet files of all splits.

    Raises:
      UserError: pyarrow or the files are missing or unreadable, they hold several configurations,
        or the columns, photos or labels are not as described.
    """
    check_installed()
    files = find(directory)
    if not files:
        raise UserError(f"no parquet files in {directory} or its folders: check the path")
    return open_files(directory.name or "parquet", str(directory), files)


def check_installed() -> None:
    """Raises a `UserError` if what reads the files is not installed."""
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise UserError("parquet files need pyarrow: pip install '.[parquet]'") from None


def open_files(
    name: str,
    place: str,
    files: Mapping[str, Sequence[epath.Path]],
    class_names: Sequence[str] = (),
) -> Source:
    """Opens the files of each split.

    Args:
      name: of the data set.
      place: where they are, for errors.
      files: by split.
      class_names: in label order, for files that name none themselves; () if unknown.

    Raises:
      UserError: as `load`.
    """
    tables = {
        split: _rows(f"{split} in {place}", paths, class_names) for split, paths in files.items()
    }
    return source_of(name, tables)


def find(directory: epath.Path) -> dict[str, list[epath.Path]]:
    """Returns the parquet files of each split, in order.

    Raises:
      UserError: there are several configurations, none of them in the folder itself.
    """
    names = [path.relative_to(directory).as_posix() for path in _files(directory, FOLDERS)]
    found = choose(names, str(directory), "give the folder of one of them")
    return {split: [directory / name for name in chosen] for split, chosen in found.items()}


def choose(names: Iterable[str], place: str, advice: str) -> dict[str, list[str]]:
    """Returns which of the files in a folder are of which split, in order.

    Args:
      names: paths of parquet files relative to the folder.
      place: the folder, for errors.
      advice: what to do where there are several configurations.

    Raises:
      UserError: there are several configurations, none of them in the folder itself.
    """
    configs: dict[str, dict[str, list[str]]] = {}
    for path in sorted(names):
        *folders, file = path.split("/")
        name = _split_name(file.removesuffix(SUFFIX))
        if not name and folders and split_of(folders[-1]):
            name = folders.pop()
        config = "/".join(folder for folder in folders if folder not in PLAIN_FOLDERS)
        configs.setdefault(config, {}).setdefault(name, []).append(path)
    if len(configs) > 1 and "" not in configs:
        raise UserError(
            f"{place} holds several configurations of a data set, {', '.join(configs)}: {advice}"
        )
    parts = configs.get("") or next(iter(configs.values()), {})
    if parts.keys() == {""}:
        return {"train": parts[""]}
    splits: dict[str, list[str]] = {}
    # Plain words first: 'train' before 'unlabeled_train'.
    for name in sorted(parts, key=lambda name: (name.lower() not in WORDS, name)):
        if split_of(name):
            splits.setdefault(split_of(name), parts[name])
    every = {path for config in configs.values() for paths in config.values() for path in paths}
    unused = sorted(every - {path for paths in splits.values() for path in paths})
    if unused:
        log.info("data: %d parquet files are not used, such as %s", len(unused), unused[0])
    return {split: splits[split] for split in SPLITS if split in splits}


def _split_name(stem: str) -> str:
    """Returns a file's name up to its split, as 'train' of train-00000-of-00002; '' without one."""
    found = _SPLIT_NAME.match(stem)
    return found[0] if found else ""


def _files(folder: epath.Path, depth: int) -> Iterator[epath.Path]:
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.suffix == SUFFIX:
            yield path
        elif depth and path.is_dir():
            yield from _files(path, depth - 1)


def _rows(place: str, files: Sequence[epath.Path], class_names: Sequence[str]) -> Table:
    """Reads the files of one split, all with the same columns; `place` is for errors."""
    import pyarrow

    parts = [_read(file) for file in files]
    columns = parts[0].column_names
    image = _only(IMAGE_COLUMNS, columns, files[0])
    label = _only(LABEL_COLUMNS, columns, files[0])
    used = [image, label] + [GROUP_COLUMN] * (GROUP_COLUMN in columns)
    try:
        table = pyarrow.concat_tables([part.select(used) for part in parts])
    except (pyarrow.ArrowException, KeyError):
        raise UserError(
            f"the parquet files of {place} have different columns: write them with the same "
            f"{', '.join(used)}"
        ) from None
    photos = [
        _encoded(f"row {number} of {place}", photo)
        for number, photo in enumerate(table.column(image).to_pylist())
    ]
    names = _names_in_metadata(table.schema.metadata or {}, label) or class_names
    groups = table.column(GROUP_COLUMN).to_pylist() if GROUP_COLUMN in used else ()
    return Table(place, photos, table.column(label).to_pylist(), names, groups)


def _encoded(row: str, photo: object) -> bytes:
    content = photo.get("bytes") if isinstance(photo, dict) else photo
    if isinstance(content, bytes) and content:
        return content
    found = "no encoded photo"
    path = photo.get("path") if isinstance(photo, dict) else photo
    if isinstance(path, str):
        found = f"only the path {path!r} of a photo"
    raise UserError(
        f"{row} has {found}: write the content of the files, or list paths and labels in a manifest"
    )


def _names_in_metadata(metadata: Mapping[bytes, bytes], label: str) -> list[str]:
    try:
        names = json.loads(metadata[b"huggingface"])["info"]["features"][label]["names"]
        return list(map(str, names or ()))
    except (ValueError, KeyError, TypeError):
        return []


def _read(file: epath.Path) -> Any:
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(pyarrow.BufferReader(file.read_bytes())).read()
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(
            f"{file} can't be read: copy it again ({' '.join(str(error).split())})"
        ) from None


def _only(wanted: Sequence[str], columns: Sequence[str], file: epath.Path) -> str:
    found = [name for name in wanted if columns.count(name) == 1]
    if not found:
        raise UserError(
            f"{file} has the columns {', '.join(columns)}: expected one called "
            f"{' or '.join(wanted)}"
        )
    return found[0]

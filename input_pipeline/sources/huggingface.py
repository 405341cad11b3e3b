"""Data sets of the Hugging Face Hub: `hf:OWNER/NAME[@REVISION][/CONFIGURATION]`.

Read are parquet files, and photos as in ImageFolder: class folders, or a `metadata.csv` or
`metadata.jsonl` with `file_name` and `label` above the photos of each split. Which files are of
which split stands in the README.md, see `hub_card`, or else in their names.
"""

import logging
import pathlib
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from etils import epath

from efficientnet import hub
from efficientnet.errors import UserError
from input_pipeline import photo_formats
from input_pipeline.sources import folders, hub_card, manifest, parquet
from input_pipeline.sources.hub_card import Declared
from input_pipeline.sources.labels import names_of, positions
from input_pipeline.sources.split import Source, from_files
from input_pipeline.sources.splitting import SPLITS, split_of

log = logging.getLogger(__name__)

TABLES = ("metadata.csv", "metadata.jsonl")
CONVERTED = "refs/convert/parquet"  # the branch with what the Hub itself has converted
SHOWN = 10  # names in an error


class _Photo(NamedTuple):
    path: str
    label: str
    place: str  # where the label stands, for errors


def load(name: str) -> Source:
    """Opens a data set, after downloading what is not in the cache yet.

    Raises:
      UserError: see `hub.fetch`; or there are no files that are read here, or several
        configurations; or see the sources of such files.
    """
    given = hub.parse(name, hub.DATASET)
    reference = hub.pin(given)
    log.info("data: %s, license: %s", reference, hub.license_of(reference) or "not stated")
    declared = hub_card.read(hub.card(reference), reference.path, str(given), parquet.LABEL_COLUMNS)
    names = [name for name in hub.names(reference) if _is_in(name, declared.folder)]
    tables = [name for name in names if name.endswith(parquet.SUFFIX)]
    if tables:
        return _of_parquet(given, reference, declared, tables)
    photos = [name for name in names if _ending(name).lower() in photo_formats.READABLE]
    if photos:
        return _of_photos(reference, declared, photos, names)
    some = ", ".join(names[:SHOWN]) + ", ..." * (len(names) > SHOWN)
    raise UserError(
        f"{given} has no parquet files and no photos, but {some or 'nothing'}: try what the Hub "
        f"has made of it, hf:{reference.repository}@{CONVERTED}, or download it and give the folder"
    )


def _of_parquet(
    given: hub.Reference, reference: hub.Reference, declared: Declared, names: Sequence[str]
) -> Source:
    parquet.check_installed()
    advice = f"say which, as in hf:{reference.repository}/CONFIGURATION"
    files = declared.files(names) or parquet.choose(names, str(given), advice)
    folder = _fetch(reference, [hub.literal(name) for part in files.values() for name in part])
    return parquet.open_files(
        reference.repository,
        str(given),
        {split: [folder / name for name in part] for split, part in files.items()},
        declared.class_names,
    )


def _of_photos(
    reference: hub.Reference, declared: Declared, photos: Sequence[str], names: Sequence[str]
) -> Source:
    tables = [name for name in names if pathlib.PurePosixPath(name).name in TABLES]
    start = declared.folder and f"{hub.literal(declared.folder)}/"
    endings = sorted({f"{start}*{_ending(name)}" for name in photos})
    folder = _fetch(reference, [*map(hub.literal, tables), *endings])
    labeled = [table for table in tables if _has_labels(folder / table)]
    if labeled:
        rows = [list(_listed(folder, table)) for table in labeled]
        splits: dict[str, list[_Photo]] = {}
        for table, listed in zip(labeled, rows, strict=True):
            splits.setdefault(_split_above(table), []).extend(listed)
        classes = names_of([row.label for listed in rows for row in listed], reference.repository)
        return _source(reference, folder, splits, classes)
    files = declared.files(photos)
    if files:
        splits = {split: [_in_class(name) for name in part] for split, part in files.items()}
        first = splits.get("train") or next(iter(splits.values()))
        return _source(reference, folder, splits, sorted({photo.label for photo in first}))
    # Above the splits or classes there may be a folder such as data/.
    top = posixpath.commonpath([str(pathlib.PurePosixPath(name).parent.parent) for name in photos])
    return folders.load_as(reference.repository, folder / top, None)


def _listed(folder: epath.Path, table: str) -> Iterable[_Photo]:
    above = pathlib.PurePosixPath(table).parent
    for row in manifest.read_rows(folder / table):
        yield _Photo(str(above / row.path), row.label, f"{row.place},")


def _in_class(name: str) -> _Photo:
    return _Photo(name, pathlib.PurePosixPath(name).parent.name, name)


def _split_above(table: str) -> str:
    folders_above = pathlib.PurePosixPath(table).parent.parts
    return next((split for part in reversed(folders_above) if (split := split_of(part))), "train")


def _source(
    reference: hub.Reference,
    folder: epath.Path,
    splits: Mapping[str, Sequence[_Photo]],
    classes: Sequence[str],
) -> Source:
    found = {}
    for split in (split for split in SPLITS if split in splits):
        photos = splits[split]
        places = [photo.place for photo in photos]
        labels = positions(
            [photo.label for photo in photos],
            places.__getitem__,
            classes,
            reference.repository,
            numbered=False,
        )
        found[split] = from_files(folder, [photo.path for photo in photos], labels)
    return Source(reference.repository, tuple(classes), found)


def _has_labels(table: epath.Path) -> bool:
    """Whether a table has a column of labels, by its first line; else folders may be classes."""
    return "label" in table.read_text("utf-8-sig").lstrip().partition("\n")[0].lower()


def _fetch(reference: hub.Reference, patterns: Sequence[str]) -> epath.Path:
    return epath.Path(hub.fetch(reference, patterns))


def _is_in(name: str, folder: str) -> bool:
    return not folder or name.startswith(f"{folder}/")


def _ending(name: str) -> str:
    return pathlib.PurePosixPath(name).suffix

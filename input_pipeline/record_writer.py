"""Writes records, the few large files that the source 'records' reads; see `sources.records`."""

import functools
import io
import json
from collections.abc import Callable

import numpy as np
from etils import epath
from PIL import Image

from efficientnet.errors import UserError
from efficientnet.paths import make_folder, write_whole
from input_pipeline import decode
from input_pipeline.audit.survey import survey
from input_pipeline.augment.sampling import resize
from input_pipeline.sources import records
from input_pipeline.sources.split import Source, Split

JPEG_QUALITY = 95


def write(
    source: Source,
    directory: epath.Path,
    *,
    shorter_side: int | None = None,
    broken_limit: int = 0,
    progress: Callable[[str, int, int], None] = lambda split, done, total: None,
) -> list[str]:
    """Writes a source as records; keeps what an earlier call wrote, unless photos have changed.

    Args:
      source: the data set to write.
      directory: where to write.
      shorter_side: larger photos are shrunk to this shorter side and become JPEGs; None keeps all
        photos unchanged.
      broken_limit: how many unreadable photos may be left out.
      progress: called with (split, photos done, photos in total).

    Returns:
      Names of the photos that were left out.

    Raises:
      UserError: too many photos can't be read, or the directory holds records of other names,
        labels or settings.
    """
    make_folder(directory)
    settings: dict[str, object] = {
        "source": source.name,
        "class_names": list(source.class_names),
        "shorter_side": shorter_side,
    }
    left_out: list[str] = []
    sizes = {split: len(examples) for split, examples in source.splits.items()}
    for split, examples in source.splits.items():
        for number, path in enumerate(records.shard_paths(directory, split, len(examples))):
            first = number * records.PER_SHARD
            end = min(first + records.PER_SHARD, len(examples))
            shard = examples.take(np.arange(first, end))
            expected = {**settings, "names": shard.names, "labels": shard.labels.tolist()}
            if shard.groups:
                expected["groups"] = shard.groups
            allowed = broken_limit - len(left_out)
            left_out += _write_shard(shard, path, expected, shorter_side, allowed)
            progress(split, end, len(examples))
    index = {"name": source.name, "class_names": list(source.class_names), "splits": sizes}
    write_whole(directory / records.INDEX, json.dumps(index, indent=1).encode())
    return left_out


def _write_shard(
    shard: Split,
    path: epath.Path,
    expected: dict[str, object],
    shorter_side: int | None,
    broken_limit: int,
) -> list[str]:
    """Writes one shard unless it exists; returns the names left out."""
    photos = shard.fingerprint()
    table = path.with_suffix(".json")
    if table.is_file() and path.is_file():
        found = json.loads(table.read_text("utf-8"))
        if found["expected"] != expected:
            raise UserError(
                f"{path.parent} holds records of other photos, labels or settings: choose another "
                "directory"
            )
        if found["photos"] == photos and len(found["left_out"]) <= broken_limit:
            return list(found["left_out"])

    rows: list[tuple[int | str, ...]] = []
    contents: list[bytes] = []
    left_out: list[str] = []
    shrink = functools.partial(_shrink, shorter_side=shorter_side)
    for index, (content, reason) in enumerate(survey(shard, shrink)):
        name = shard.names[index]
        if content is not None:
            group = shard.groups[index : index + 1]
            rows.append((int(shard.labels[index]), name, len(content), *group))
            contents.append(content)
        elif len(left_out) < broken_limit:
            left_out.append(name)
        else:
            raise UserError(
                f"{name} is not a readable photo: replace or remove it, or allow for it ({reason})"
            )
    written = {"expected": expected, "photos": photos, "left_out": left_out, "rows": rows}
    table.unlink(missing_ok=True)  # if interrupted here, no table of other photos is left
    write_whole(path, b"".join(contents))
    write_whole(table, json.dumps(written).encode())
    return left_out


def _shrink(encoded: bytes, shorter_side: int | None) -> bytes:
    """Returns the photo or a smaller JPEG; decodes it in any case, to check that it is readable."""
    image = decode.decode(encoded, 3)
    height, width, _ = image.shape
    if shorter_side is None or min(height, width) <= shorter_side:
        return encoded
    scale = shorter_side / min(height, width)
    small = resize(image, max(round(height * scale), 1), max(round(width * scale), 1))
    stream = io.BytesIO()
    Image.fromarray(small).save(stream, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return stream.getvalue()

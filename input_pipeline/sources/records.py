"""Records: a data set prepared once into few large files.

    index.json                            name, class names, how many photos each split began with
    train-00000-of-00009.bin              encoded photos end to end
    train-00000-of-00009.json             label, name and length of each

Written by scripts/prepare_data.py; a shard is there whole or not at all, so that a preparation
that was stopped goes on where it was.
"""

import concurrent.futures
import json
import os
import pathlib
from collections.abc import Callable

import numpy as np

from efficientnet.errors import UserError
from input_pipeline import decode
from input_pipeline.quiet_tensorflow import tf
from input_pipeline.sources.split import Source, Split

INDEX = "index.json"
PER_SHARD = 1000
JPEG_QUALITY = 95


def load(directory: pathlib.Path) -> Source:
    """Opens records.

    Raises:
      UserError: the preparation is not finished, or a file is missing or cut off.
    """
    try:
        index = json.loads((directory / INDEX).read_text("utf-8"))
    except (OSError, ValueError):
        raise UserError(
            f"no readable {INDEX} in {directory}: let scripts/prepare_data.py write it to the end"
        ) from None
    splits = {split: _open(directory, split, size) for split, size in index["splits"].items()}
    return Source(index["name"], tuple(index["class_names"]), splits)


def _open(directory: pathlib.Path, split: str, size: int) -> Split:
    labels: list[int] = []
    names: list[str] = []
    files: list[int] = []
    places = [np.zeros([0, 3], np.int64)]  # shard, start and length
    for number, path in enumerate(_shards(directory, split, size)):
        try:
            rows = json.loads(path.with_suffix(".json").read_text("utf-8"))["rows"]
            files.append(os.open(path, os.O_RDONLY))
        except (OSError, ValueError) as error:
            raise UserError(f"{path} can't be read: prepare the records again ({error})") from None
        lengths = np.array([length for _, _, length in rows], np.int64)
        if os.fstat(files[-1]).st_size != lengths.sum():
            raise UserError(f"{path} is cut off or changed: prepare the records again")
        labels.extend(label for label, _, _ in rows)
        names.extend(name for _, name, _ in rows)
        starts = np.cumsum(lengths) - lengths
        places.append(np.stack([np.full_like(lengths, number), starts, lengths], 1))
    table = tf.constant(np.concatenate(places))

    def read_bytes(place: np.ndarray) -> bytes:
        shard, start, length = place
        return os.pread(files[shard], length, start)

    def read(index: tf.Tensor) -> tf.Tensor:
        encoded = tf.numpy_function(read_bytes, [table[index]], tf.string, stateful=False)
        return tf.ensure_shape(encoded, [])

    return Split(np.asarray(labels, np.int32), names, read)


def _shards(directory: pathlib.Path, split: str, size: int) -> list[pathlib.Path]:
    count = max(1, -(-size // PER_SHARD))
    return [directory / f"{split}-{number:05d}-of-{count:05d}.bin" for number in range(count)]


def write(
    source: Source,
    directory: pathlib.Path,
    *,
    shorter_side: int | None = None,
    broken_limit: int = 0,
    threads: int = 4,
    progress: Callable[[str, int, int], None] = lambda split, done, total: None,
) -> list[str]:
    """Prepares a source; what an earlier call finished is kept.

    Args:
      source: what to prepare.
      directory: where to write.
      shorter_side: photos with a longer one are shrunk to it and become JPEGs; None keeps all
        photos as they are.
      broken_limit: how many photos that can't be read are left out.
      threads: how many photos to prepare at a time.
      progress: told (split, photos done, photos in all).

    Returns:
      Names of the photos that were left out.

    Raises:
      UserError: too many photos can't be read, or the directory holds other records.
    """
    directory.mkdir(parents=True, exist_ok=True)
    settings: dict[str, object] = {
        "source": source.name,
        "class_names": list(source.class_names),
        "shorter_side": shorter_side,
    }
    left_out: list[str] = []
    sizes = {split: len(examples) for split, examples in source.splits.items()}
    for split, examples in source.splits.items():
        for number, path in enumerate(_shards(directory, split, len(examples))):
            first = number * PER_SHARD
            indices = range(first, min(first + PER_SHARD, len(examples)))
            expected = {**settings, "names": [examples.names[i] for i in indices]}
            left_out += _write_shard(
                examples,
                indices,
                path,
                expected,
                shorter_side,
                threads,
                broken_limit - len(left_out),
            )
            progress(split, indices.stop, len(examples))
    index = {"name": source.name, "class_names": list(source.class_names), "splits": sizes}
    _replace(directory / INDEX, json.dumps(index, indent=1).encode())
    return left_out


def _write_shard(
    split: Split,
    indices: range,
    path: pathlib.Path,
    expected: dict[str, object],
    shorter_side: int | None,
    threads: int,
    broken_limit: int,
) -> list[str]:
    """Writes one shard unless it is there; returns the names left out."""
    table = path.with_suffix(".json")
    if table.is_file() and path.is_file():
        found = json.loads(table.read_text("utf-8"))
        if found["expected"] != expected:
            raise UserError(
                f"{path.parent} holds records of other photos or settings: choose another directory"
            )
        return list(found["left_out"])

    def one(index: int) -> tuple[bytes, str]:
        try:
            encoded = split.read(tf.constant(index, tf.int64))
            return _shrink(encoded, shorter_side).numpy(), ""
        except tf.errors.OpError as error:
            return b"", " ".join(error.message.split("[Op:")[0].split())[:200]

    rows: list[tuple[int, str, int]] = []
    contents: list[bytes] = []
    left_out: list[str] = []
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        for index, (content, reason) in zip(indices, pool.map(one, indices), strict=True):
            name = split.names[index]
            if not reason:
                rows.append((int(split.labels[index]), name, len(content)))
                contents.append(content)
            elif len(left_out) < broken_limit:
                left_out.append(name)
            else:
                raise UserError(
                    f"{name} is not a readable photo: replace or remove it, or allow for it ("
                    f"{reason})"
                )
    _replace(path, b"".join(contents))
    _replace(
        table,
        json.dumps({"expected": expected, "left_out": left_out, "rows": rows}).encode(),
    )
    return left_out


def _shrink(encoded: tf.Tensor, shorter_side: int | None) -> tf.Tensor:
    """The photo itself, or a smaller JPEG; decodes it in any case, to see that it can be."""
    image = decode.decode(encoded, 3)
    size = np.array(image.shape[:2])
    if shorter_side is None or size.min() <= shorter_side:
        return encoded
    smaller = np.maximum(np.round(size * shorter_side / size.min()), 1).astype(int)
    image = tf.image.resize(image, smaller, antialias=True)
    image = tf.cast(tf.clip_by_value(tf.round(image), 0.0, 255.0), tf.uint8)
    return tf.io.encode_jpeg(image, quality=JPEG_QUALITY, chroma_downsampling=False)


def _replace(path: pathlib.Path, content: bytes) -> None:
    """Writes a file whole or not at all."""
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(content)
    temporary.replace(path)

"""Real Stanford Cars photos through every layout: the same pixels and classes come out."""

import csv
import io
import json

import numpy as np
import pytest
from etils import epath

import input_pipeline
from input_pipeline import record_writer
from input_pipeline.sources.split import Source

CLASSES = range(0, 196, 14)


@pytest.fixture(scope="module")
def cars(shared):
    """Some photos of both splits, by the devkit."""
    source = input_pipeline.load_source("stanford_cars", str(shared / "data" / "stanford_cars"))
    splits = {
        name: split.take(np.array([np.flatnonzero(split.labels == label)[0] for label in CLASSES]))
        for name, split in source.splits.items()
    }
    return Source(source.name, source.class_names, splits)


def photos(source):
    """Every photo as (split, name of its class, pixels), in an order of its own."""
    found = []
    for name in ("train", "test"):
        split = source.splits[name]
        loader = input_pipeline.Loader(split, batch_size=len(split), resolution=32)
        for batch in loader.evaluate(split):
            for image, label in zip(batch["image"], batch["label"], strict=True):
                found.append((name, source.class_names[label], image.tobytes()))
    return sorted(found)


def encoded(source):
    """Yields (split, number, class name, label, bytes) of every photo."""
    for name, split in source.splits.items():
        for number in range(len(split)):
            label = int(split.labels[number])
            yield name, number, source.class_names[label], label, split.read(number)


def as_folders(cars, folder):
    for split, number, name, _, content in encoded(cars):
        path = folder / split / name.replace("/", "-") / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return "folders"


def as_manifest(cars, folder):
    (folder / "photos").mkdir()
    (folder / "class_names.txt").write_text("\n".join(cars.class_names))
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["path", "label", "split"])
    for split, number, name, _, content in encoded(cars):
        (folder / "photos" / f"{split} {number}.jpg").write_bytes(content)
        writer.writerow([f"photos/{split} {number}.jpg", name, split])
    (folder / "manifest.csv").write_text(table.getvalue())
    return "manifest"


def as_parquet(cars, folder):
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    feature = {"_type": "ClassLabel", "names": list(cars.class_names)}
    metadata = {"huggingface": json.dumps({"info": {"features": {"label": feature}}})}
    for split in cars.splits:
        rows = [row for row in encoded(cars) if row[0] == split]
        table = pyarrow.table(
            {"image": [{"bytes": row[4]} for row in rows], "label": [row[3] for row in rows]}
        )
        path = folder / f"{split}-00000-of-00001.parquet"
        parquet.write_table(table.replace_schema_metadata(metadata), path)
    return "parquet"


def as_records(cars, folder):
    record_writer.write(cars, epath.Path(folder))
    return "records"


@pytest.mark.parametrize("layout", [as_folders, as_manifest, as_parquet, as_records])
def test_every_layout_gives_the_devkits_photos(cars, tmp_path, layout):
    kind = layout(cars, tmp_path)
    source = input_pipeline.load_source(kind, str(tmp_path))
    expected = photos(cars)
    if layout is as_folders:  # a slash can't stand in the name of a folder
        expected = sorted((split, name.replace("/", "-"), image) for split, name, image in expected)
    assert photos(source) == expected
    assert len({image for *_, image in expected}) == 2 * len(CLASSES)

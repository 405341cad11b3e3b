import importlib
import io
import json

import hub_fixture
import numpy as np
import pytest

import input_pipeline
from efficientnet.errors import UserError

pyarrow = importlib.import_module("pyarrow")
pyarrow_parquet = importlib.import_module("pyarrow.parquet")
NAMES = ["cat", "dog", "owl"]


@pytest.fixture
def server(tmp_path):
    with hub_fixture.hub_in(tmp_path / "hf") as server:
        yield server


def parquet(labels, names=None, first=0):
    """Photos that are called by their numbers."""
    photos = [{"bytes": b"photo %d" % (first + n), "path": None} for n in range(len(labels))]
    table = pyarrow.table({"image": photos, "label": labels})
    if names:
        info = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(info)})
    file = io.BytesIO()
    pyarrow_parquet.write_table(table, file)
    return file.getvalue()


def load(name):
    """Returns a data set's class names, and the photos and labels of each split."""
    source = input_pipeline.load_source(name, keep_validation=True)
    splits = {
        split: [(part.read(index), int(part.labels[index])) for index in range(len(part))]
        for split, part in source.splits.items()
    }
    return source.class_names, splits


def asked_for(server):
    return {path.rpartition("/")[2] for _, path, _ in server.requests if "/resolve/" in path}


def test_parquet_with_names_and_splits(server):
    files = {
        "data/train-00000-of-00002.parquet": parquet([0, 2], NAMES),
        "data/train-00001-of-00002.parquet": parquet([1], NAMES, first=2),
        "data/test-00000-of-00001.parquet": parquet([1], NAMES, first=3),
        "data/contrast-00000-of-00001.parquet": parquet([1], NAMES, first=4),
    }
    server.add("me/pets", files, "datasets")
    names, splits = load("hf:me/pets")
    assert names == tuple(NAMES)
    assert splits["train"] == [(b"photo 0", 0), (b"photo 1", 2), (b"photo 2", 1)]
    assert splits["test"] == [(b"photo 3", 1)]
    assert "contrast-00000-of-00001.parquet" not in asked_for(server)


def test_a_revision_stays_what_it_was(server):
    repository = server.add("me/pets", {"train.parquet": parquet([0, 1] * 5, NAMES)}, "datasets")
    first = repository.branches["main"]
    repository.commit({"train.parquet": parquet([1, 1, 0] * 5, NAMES)})
    assert sum(map(len, load("hf:me/pets")[1].values())) == 15
    assert sum(map(len, load(f"hf:me/pets@{first}")[1].values())) == 10
    server.down = True
    assert sum(map(len, load(f"hf:me/pets@{first}")[1].values())) == 10


CARD = b"""---
license: cc-by-4.0
configs:
- config_name: small
  default: true
  data_files:
  - split: train
    path: files/a-*
  - split: validation
    path: [files/b.parquet]
- config_name: large
  data_files: large.parquet
dataset_info:
- config_name: small
  features:
  - {name: image, dtype: image}
  - {name: label, dtype: {class_label: {names: {'0': cat, '1': dog, '2': owl}}}}
- config_name: large
  features:
  - {name: label, dtype: {class_label: {names: ['a', 'b', 'c']}}}
---
# Pets
"""


def test_what_the_card_declares(server, caplog):
    caplog.set_level("INFO")
    files = {
        "README.md": CARD,
        "files/a-1.parquet": parquet([0, 2, 1, 1, 1]),
        "files/b.parquet": parquet([1], first=5),
        "large.parquet": parquet([2, 1, 0] * 5),
    }
    server.add("me/pets", files, "datasets")
    names, splits = load("hf:me/pets")
    assert names == tuple(NAMES)
    assert splits["validation"] == [(b"photo 5", 1)]
    assert len(splits["train"]) + len(splits["test"]) == 5
    assert "license: cc-by-4.0" in caplog.text
    names, splits = load("hf:me/pets/large")
    assert names == ("a", "b", "c")
    assert sum(map(len, splits.values())) == 15


def test_configurations_in_folders(server):
    files = {
        "one/train-0.parquet": parquet([0, 1] * 5),
        "two/train-0.parquet": parquet([0, 1, 2] * 5),
    }
    server.add("me/pets", files, "datasets")
    with pytest.raises(UserError, match=r"configurations of a data set, one, two: say which, as"):
        load("hf:me/pets")
    assert load("hf:me/pets/two")[0] == ("0", "1", "2")


def photos(*names):
    return {name: name.encode() for name in names}


@pytest.mark.parametrize("top", ["", "data/"])
def test_class_folders(top, server):
    files = photos(
        f"{top}train/cat/1.jpg", f"{top}train/dog/2.JPEG", f"{top}train/dog/3.png", "big.zip"
    ) | photos(f"{top}test/cat/4.jpg", f"{top}test/dog/5.jpg")
    server.add("me/pets", files, "datasets")
    names, splits = load("hf:me/pets")
    assert names == ("cat", "dog")
    assert [label for _, label in splits["train"]] == [0, 1, 1]
    assert splits["test"][1] == (f"{top}test/dog/5.jpg".encode(), 1)
    assert "big.zip" not in asked_for(server)


def test_class_folders_with_declared_splits(server):
    card = b"---\nconfigs:\n- config_name: default\n  data_files:\n"
    card += b"  - {split: train, path: 'most/**'}\n  - {split: test, path: 'rest/**'}\n---\n"
    files = photos("most/cat/1.jpg", "most/10/2.jpg", "rest/cat/3.jpg", "other/owl/4.jpg")
    server.add("me/pets", files | {"README.md": card}, "datasets")
    names, splits = load("hf:me/pets")
    assert names == ("10", "cat")
    assert splits == {
        "train": [(b"most/cat/1.jpg", 1), (b"most/10/2.jpg", 0)][::-1],
        "test": [(b"rest/cat/3.jpg", 1)],
    }


def test_tables_of_metadata(server):
    files = photos("train/1.jpg", "train/2.jpg", "test/3.jpg")
    files["train/metadata.csv"] = b"file_name,label\n1.jpg,dog\n2.jpg,cat\n"
    files["test/metadata.jsonl"] = b'{"file_name": "3.jpg", "label": "dog"}\n'
    server.add("me/pets", files, "datasets")
    names, splits = load("hf:me/pets")
    assert names == ("cat", "dog")
    assert splits["train"] == [(b"train/1.jpg", 1), (b"train/2.jpg", 0)]
    assert splits["test"] == [(b"test/3.jpg", 1)]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"pets.zip": b""}, r"no photos, but pets.zip: try .* hf:me/pets@refs/convert/parquet"),
        ({"README.md": b"---\nconfigs: 7\n---\n", "a.parquet": b""}, "way that is not understood"),
        ({"README.md": CARD.replace(b"  default: true\n", b""), "a.parquet": b""},
         r"several configurations, small, large: say which, as in hf:me/pets/small"),
        ({"train.parquet": b"PAR1"}, "train.parquet can't be read"),
    ],
)  # fmt: skip
def test_what_can_not_be_read(files, sentence, server):
    server.add("me/pets", files, "datasets")
    with pytest.raises(UserError, match=sentence):
        load("hf:me/pets")


def test_data_sets_that_can_not_be_had(server):
    server.add("me/model", {"config.json": b"{}"})
    with pytest.raises(UserError, match="knows no data set me/model, or shows it to some accounts"):
        load("hf:me/model")
    server.add("me/gated", {"train.parquet": parquet([0, 1])}, "datasets").gated = True
    with pytest.raises(UserError, match=r"is gated: accept its terms at .*/datasets/me/gated and"):
        load("hf:me/gated")
    with pytest.raises(UserError, match="'hf:pets' names no data set"):
        load("hf:pets")
    with pytest.raises(UserError, match="'hf:me/pets' takes no directory, but got /photos"):
        input_pipeline.load_source("hf:me/pets", "/photos")


def test_photos_are_known_by_their_place(server):
    """So that what was looked at and decoded once is found again."""
    server.add("me/pets", photos("cat/1.jpg", "dog/2.jpg", "dog/3.jpg", "cat/4.jpg"), "datasets")
    first, again = (input_pipeline.load_source("hf:me/pets").splits["train"] for _ in range(2))
    assert first.fingerprint() == again.fingerprint()
    np.testing.assert_array_equal(first.labels, again.labels)

"""Parquet files, and what people write into them."""

import importlib
import json
import sys

import pytest
from named_files import contents

import input_pipeline
from efficientnet.errors import UserError


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UserError, match=r"pip install '\.\[parquet\]'"):
        input_pipeline.load_source("parquet", str(tmp_path))


def parquet(path, photos, labels, names=None, **columns):
    pyarrow = pytest.importorskip("pyarrow", reason="needs pip install '.[parquet]'")
    image = [{"bytes": photo, "path": None} if photo else photo for photo in photos]
    table = pyarrow.table({"image": image, "label": labels, **columns})
    if names:
        info = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(info)})
    path.parent.mkdir(parents=True, exist_ok=True)
    importlib.import_module("pyarrow.parquet").write_table(table, path)


def test_parquet_reads_train_and_test_by_name(tmp_path):
    names = ["AM General", "Acura", "BMW"]
    parquet(tmp_path / "data/train-00000-of-00002.parquet", [b"one", b"two"], [2, 0], names)
    parquet(tmp_path / "data/train-00001-of-00002.parquet", [b"three"], [1], names)
    parquet(tmp_path / "data/test-00000-of-00001.parquet", [b"four"], [1], names)
    parquet(tmp_path / "data/contrast-00000-of-00001.parquet", [b"five"], [1], names)
    for source in ("parquet", "stanford_cars"):
        opened = input_pipeline.load_source(source, str(tmp_path))
        assert opened.class_names == tuple(names)
        assert set(opened.splits) == {"train", "test"}
        assert contents(opened.splits["train"]) == {"one": 2, "two": 0, "three": 1}


@pytest.mark.parametrize(
    ("photos", "labels", "message"),
    [
        ([b"one", None], [0, 1], "row 1 of train .* no encoded photo"),
        ([b"one", b"two"], [0, None], "row 1 of train .* label None"),
        ([b"one", b"two"], [0, 2], "row 1 of train .* label '2'"),
    ],
)
def test_parquet_names_what_is_wrong(tmp_path, photos, labels, message):
    parquet(tmp_path / "train-0.parquet", photos, labels, ["a", "b"])
    with pytest.raises(UserError, match=message):
        input_pipeline.load_source("parquet", str(tmp_path))


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([0, 3], ("0", "3")),
        ([10, 9], ("9", "10")),
        ([float(n) for n in range(12)], tuple(map(str, range(12)))),
        (["00", "01", "10"], ("00", "01", "10")),
        (["10", "9"], ("9", "10")),
        ([5_000_000, -1], ("-1", "5000000")),
        ([b"a", b"b"], ("a", "b")),
        ([True, False], ("False", "True")),
    ],
)
def test_parquet_classes_are_called_what_stands_in_the_data(tmp_path, labels, names):
    photos = [str(label).encode() for label in labels]
    parquet(tmp_path / "train-0.parquet", photos, labels)
    parquet(tmp_path / "test-0.parquet", photos, labels)
    opened = input_pipeline.load_source("parquet", str(tmp_path))
    assert opened.class_names == names
    for photo, label in contents(opened.splits["test"]).items():
        assert names[label] in (photo, photo.removesuffix(".0"), photo[2:-1])


NONE = "expected one name or whole number for each photo"
PATH = "write the content of the files, or list paths and labels in a manifest"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": [[0], [1]]}, rf"row 0 of train in .* has label \[0\]: {NONE}"),
        ({"label": [0.0, 0.5]}, f"row 1 of train in .* has label 0.5: {NONE}"),
        ({"label": [0.0, float("nan")]}, f"row 1 .* has label nan: {NONE}"),
        ({"label": ["a", " "]}, f"row 1 .* has label ' ': {NONE}"),
        ({"label": ["a ", "a"]}, "has the class 'a' and 'a ', which look the same"),
        ({"image": ["a/1.jpg", "a/2.jpg"]}, rf"row 0 .* only the path 'a/1.jpg' .*: {PATH}"),
        ({"image": [{"path": "1.jpg"}] * 2}, rf"row 0 .* only the path '1.jpg' .*: {PATH}"),
        ({"image": [b"1", b""]}, "row 1 .* has no encoded photo"),
        ({"image": [[[1, 2], [3, 4]]] * 2}, "row 0 .* has no encoded photo"),
    ],
)
def test_parquet_of_something_else_is_refused(tmp_path, columns, message):
    pyarrow = pytest.importorskip("pyarrow", reason="needs pip install '.[parquet]'")
    table = pyarrow.table({"image": [b"1", b"2"], "label": [0, 1], **columns})
    importlib.import_module("pyarrow.parquet").write_table(table, tmp_path / "train.parquet")
    with pytest.raises(UserError, match=message):
        input_pipeline.load_source("parquet", str(tmp_path))


@pytest.mark.parametrize("names", ["{", "5", "null", "[]"])
def test_parquet_without_names_in_its_metadata(tmp_path, names):
    pyarrow = pytest.importorskip("pyarrow", reason="needs pip install '.[parquet]'")
    table = pyarrow.table({"image": [b"1", b"2"], "label": [3, 7]})
    info = f'{{"info": {{"features": {{"label": {{"names": {names}}}}}}}}}'
    table = table.replace_schema_metadata({"huggingface": info})
    importlib.import_module("pyarrow.parquet").write_table(table, tmp_path / "train.parquet")
    assert input_pipeline.load_source("parquet", str(tmp_path)).class_names == ("3", "7")


def test_parquet_with_other_columns_is_refused(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="needs pip install '.[parquet]'")
    write_table = importlib.import_module("pyarrow.parquet").write_table
    write_table(pyarrow.table({"image": [b"1"], "kind": [0]}), tmp_path / "train-0.parquet")
    with pytest.raises(UserError, match="has the columns image, kind: expected one called label"):
        input_pipeline.load_source("parquet", str(tmp_path))
    twice = pyarrow.Table.from_arrays([[b"1"], [b"2"], [0]], ["image", "image", "label"])
    write_table(twice, tmp_path / "train-0.parquet")
    with pytest.raises(UserError, match="the columns image, image, label: expected one called im"):
        input_pipeline.load_source("parquet", str(tmp_path))
    parquet(tmp_path / "train-0.parquet", [b"1"], [0])
    parquet(tmp_path / "train-1.parquet", [b"2"], ["a"])
    with pytest.raises(UserError, match=r"files of train in .* have different columns"):
        input_pipeline.load_source("parquet", str(tmp_path))


@pytest.mark.parametrize("damage", ["cut", "empty", "text"])
def test_parquet_that_is_damaged_is_named(tmp_path, damage):
    path = tmp_path / "train-0.parquet"
    parquet(path, [b"1", b"2"], [0, 1])
    whole = path.read_bytes()
    path.write_bytes({"cut": whole[:-20], "empty": b"", "text": b"version https://git"}[damage])
    with pytest.raises(
        UserError, match=r"train-0.parquet can't be read: copy it again \([^\n]+\)$"
    ):
        input_pipeline.load_source("parquet", str(tmp_path))


@pytest.mark.parametrize(
    "names",
    [
        ["default/train/0000.parquet", "default/validation/0000.parquet", "default/test/0.parquet"],
        ["data/Training-0.parquet", "data/valid-0.parquet", "testing.parquet"],
        ["pets/train-0.parquet", "pets/dev-0.parquet", "pets/test-0.parquet", "._x.parquet"],
        ["flowers-train.parquet", "flowers-val.parquet", "flowers_test_v2.parquet"],
        [
            "train-0-of-1-a0f.parquet",
            "valid-0-of-1-b.parquet",
            "test-0.parquet",
            "my_train.parquet",
        ],
        ["train.parquet", "val.parquet", "test.parquet", "other/train.parquet", "extra.parquet"],
    ],
)
def test_parquet_in_folders_and_with_other_names(tmp_path, names):
    for number, name in enumerate(names):
        parquet(tmp_path / name, [b"%d" % number, b"x"], ["a", "b"])
    splits = input_pipeline.load_source("parquet", str(tmp_path)).splits
    found = {name: split.read(0) for name, split in splits.items()}
    assert found == {"train": b"0", "validation": b"1", "test": b"2"}


def test_parquet_of_several_configurations_is_refused(tmp_path):
    for config in ("small", "large"):
        parquet(tmp_path / config / "train-0.parquet", [b"1"], [0])
    with pytest.raises(UserError, match="several configurations of a data set, large, small: give"):
        input_pipeline.load_source("parquet", str(tmp_path))


def test_parquet_without_splits_is_divided(tmp_path):
    photos = [b"%d" % number for number in range(20)]
    parquet(tmp_path / "0000.parquet", photos[:10], [0, 1] * 5)
    parquet(tmp_path / "0001.parquet", photos[10:], [0, 1] * 5)
    splits = input_pipeline.load_source("parquet", str(tmp_path)).splits
    assert {name: len(split) for name, split in splits.items()} == {"train": 16, "test": 4}


def test_parquet_splits_must_agree_on_the_order_of_names(tmp_path):
    parquet(tmp_path / "train-0.parquet", [b"1", b"2"], [0, 1], ["a", "b"])
    parquet(tmp_path / "test-0.parquet", [b"1", b"2"], [0, 1], ["b", "a"])
    with pytest.raises(UserError, match=r"metadata of test in .* names other classes .* of train"):
        input_pipeline.load_source("parquet", str(tmp_path))

import json
import shutil

import numpy as np
import pytest
import scipy.io
from PIL import Image, ImageOps

import input_pipeline
from efficientnet.commands import command_line, prepare_data
from efficientnet.errors import UserError
from input_pipeline import record_writer


def evaluated(source, split="train"):
    """What the network sees of each photo, by name."""
    examples = source.splits[split]
    loader = input_pipeline.Loader(examples, batch_size=4, resolution=16)
    return {
        examples.names[index]: image.tobytes()
        for batch in loader.evaluate(examples)
        for index, image in zip(
            batch["index"][batch["mask"]], batch["image"][batch["mask"]], strict=True
        )
    }


@pytest.fixture
def layout(request, photo_folder, tmp_path):
    """A folder in one of the layouts that may be in a bucket."""
    folder = tmp_path / request.param
    photos = sorted(photo_folder.iterdir())[:12]
    names = [f"{'train' if i % 3 else 'test'}/{'ab'[i % 2]}/{p.name}" for i, p in enumerate(photos)]
    for name, photo in zip(names, photos, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(photo.read_bytes())
    if request.param == "manifest":
        rows = [f"{name},{name.split('/')[1]},{name.split('/')[0]}" for name in names]
        (folder / "manifest.csv").write_text("\n".join(["path,label,split", *rows]))
    if request.param == "stanford_cars":
        kind = [("class", "i4"), ("relative_im_path", "O"), ("test", "i4")]
        rows = [("ab".index(n.split("/")[1]) + 1, n, int(n.startswith("test"))) for n in names]
        content = {"annotations": np.array(rows, kind), "class_names": np.array(["a", "b"], "O")}
        scipy.io.savemat(folder / "cars_annos.mat", content)
    if request.param == "records":
        record_writer.write(input_pipeline.load_source("folders", str(folder)), folder)
    if request.param == "parquet":
        pyarrow = pytest.importorskip("pyarrow", reason="needs pip install '.[parquet]'")
        from pyarrow import parquet

        images = [photo.read_bytes() for photo in photos]
        table = pyarrow.table({"image": images, "label": [i % 2 for i in range(12)]})
        (folder / "data").mkdir()
        parquet.write_table(table, folder / "data" / "train-00000-of-00001.parquet")
    return folder


@pytest.mark.parametrize("layout", ["records", "parquet"], indirect=True)
def test_large_files_are_read_from_a_bucket(layout, bucket):
    here = input_pipeline.load_source(layout.name, str(layout))
    there = input_pipeline.load_source(layout.name, str(bucket.upload(layout)))
    assert there.class_names == here.class_names
    assert there.splits.keys() == here.splits.keys()
    for split in here.splits:
        assert evaluated(there, split) == evaluated(here, split)
        np.testing.assert_array_equal(there.splits[split].labels, here.splits[split].labels)


@pytest.mark.parametrize("layout", ["folders"], indirect=True)
def test_records_are_prepared_into_a_bucket(layout, bucket):
    output = bucket.root / "records"
    arguments = ["folders", f"--directory={layout}", f"--output={output}"]
    assert command_line.run(prepare_data.main, arguments) == 0
    prepared = input_pipeline.load_source("records", str(output))
    assert evaluated(prepared) == evaluated(input_pipeline.load_source("folders", str(layout)))


@pytest.mark.parametrize("layout", ["folders"], indirect=True)
def test_two_data_sets_with_the_same_names_share_no_cache(layout, tmp_path, monkeypatch):
    sources = []
    for name in ("one", "two"):
        sources.append(
            input_pipeline.load_source("folders", str(shutil.copytree(layout, tmp_path / name)))
        )
        for photo in layout.rglob("*.jpg"):
            with Image.open(photo) as image:
                ImageOps.invert(image).save(photo, quality=90)
    one, two = (source.splits["train"] for source in sources)
    cached = [input_pipeline.decoded(split, 16, 3, str(tmp_path / "cache")) for split in (one, two)]
    fresh = [input_pipeline.decoded(split, 16, 3, "memory") for split in (one, two)]
    monkeypatch.setenv("EFFICIENTNET_CACHE", str(tmp_path / "statistics"))
    means = [input_pipeline.cached_statistics(split, resolution=8)[0] for split in (one, two)]
    for found, expected in zip(cached, fresh, strict=True):
        assert all((found.read(row) == expected.read(row)).all() for row in range(len(found)))
    assert means[0] != means[1]
    again = input_pipeline.load_source("folders", str(tmp_path / "one")).splits["train"]
    assert again.fingerprint() == one.fingerprint()


@pytest.mark.parametrize("layout", ["folders"], indirect=True)
def test_records_written_anew_are_other_photos(layout, bucket):
    arguments = ["folders", f"--directory={layout}", f"--output={bucket.root / 'records'}"]
    fingerprints = set()
    for _ in range(2):
        assert command_line.run(prepare_data.main, arguments) == 0
        prepared = input_pipeline.load_source("records", str(bucket.root / "records"))
        fingerprints.add(prepared.splits["train"].fingerprint())
        (bucket.root / "records").rmtree()
        # As long as before.
        photo = next((layout / "train").rglob("*.jpg"))
        photo.write_bytes(photo.read_bytes()[:-1] + b" ")
    assert len(fingerprints) == 2


@pytest.mark.parametrize("name", ["folders", "manifest", "stanford_cars"])
def test_photos_one_by_one_are_not_read_from_a_bucket(name):
    with pytest.raises(UserError, match=r"^gs://b/photos is in a bucket.*: copy them"):
        input_pipeline.load_source(name, "gs://b/photos")


def test_photos_on_a_command_line_are_on_this_machine():
    with pytest.raises(UserError, match="gs://mine/a is in a bucket: copy the photos"):
        input_pipeline.find_photos(["gs://mine/a"])


@pytest.mark.parametrize("path", ["../secret.jpg", "a/../../secret.jpg", "/etc/passwd", "gs://b/x"])
@pytest.mark.parametrize("table", ["manifest.csv", "manifest.jsonl", "cars_annos.mat"])
def test_no_path_in_a_table_leaves_its_folder(path, table, photo_folder, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "secret.jpg").write_bytes((photo_folder / "01.jpg").read_bytes())
    if table == "cars_annos.mat":
        kind = [("class", "i4"), ("relative_im_path", "O"), ("test", "i4")]
        rows = np.array([(1, path, 0), (2, path, 1)], kind)
        content = {"annotations": rows, "class_names": np.array(["a", "b"], "O")}
        scipy.io.savemat(folder / table, content)
    elif table == "manifest.csv":
        (folder / table).write_text(f"path,label\n{path},a\n")
    else:
        (folder / table).write_text(json.dumps({"path": path, "label": "a"}))
    name = "stanford_cars" if table == "cars_annos.mat" else "manifest"
    with pytest.raises(UserError, match="expected a path below that folder"):
        input_pipeline.load_source(name, str(folder))


@pytest.mark.parametrize("layout", ["records"], indirect=True)
def test_no_split_of_records_leaves_their_folder(layout):
    index = json.loads((layout / "index.json").read_text())
    index["splits"]["../../train"] = index["splits"].pop("train")
    (layout / "index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=r"has a split '../../train', expected train"):
        input_pipeline.load_source("records", str(layout))

import numpy as np
import pytest
import scipy.io

import input_pipeline
from efficientnet.errors import UserError
from input_pipeline.sources.splitting import stratify


def test_unknown_source_and_missing_directory(tmp_path):
    with pytest.raises(UserError, match=r"'flowers'.*elpv.*stanford_cars"):
        input_pipeline.load_source("flowers")
    with pytest.raises(UserError, match="needs a directory"):
        input_pipeline.load_source("stanford_cars")
    with pytest.raises(UserError, match=r"no directory .*absent"):
        input_pipeline.load_source("stanford_cars", str(tmp_path / "absent"))


def test_stratified_split_is_proportional_and_ignores_order():
    names = [f"{number}.jpg" for number in range(100)]
    strata = ["a"] * 70 + ["b"] * 21 + ["c"] * 9
    rest, chosen = stratify(strata, names, 0.25, seed=3)
    assert len(chosen) == 25
    assert sorted([*rest, *chosen]) == list(range(100))
    counts = {key: sum(strata[i] == key for i in chosen) for key in "abc"}
    assert all(abs(counts[key] - 0.25 * strata.count(key)) < 1 for key in "abc")
    backwards = stratify(strata[::-1], names[::-1], 0.25, seed=3)[1]
    assert {names[::-1][i] for i in backwards} == {names[i] for i in chosen}
    assert set(stratify(strata, names, 0.25, seed=4)[1]) != set(chosen)


def test_a_class_of_one_photo_keeps_it_to_train_on():
    strata = ["many"] * 100 + [f"rare {n}" for n in range(10)]
    names = [str(n) for n in range(110)]
    rest, chosen = stratify(strata, names, 0.1, seed=0)
    assert {strata[index] for index in rest} == set(strata)
    assert len(chosen) == 11


def test_hold_out_keeps_every_example_once(photos):
    train, validation = input_pipeline.hold_out(photos, 0.2, seed=1)
    assert len(validation) == round(0.2 * len(photos))
    assert sorted([*train.names, *validation.names]) == sorted(photos.names)
    by_name = dict(zip(photos.names, photos.labels, strict=True))
    for split in (train, validation):
        assert [by_name[name] for name in split.names] == list(split.labels)
        index = len(split) - 1
        original = photos.read(photos.names.index(split.names[index]))
        assert split.read(index) == original


@pytest.mark.parametrize("fraction", [0.0, 1.0, 0.001])
def test_hold_out_of_nothing_is_an_error(photos, fraction):
    with pytest.raises(UserError, match="validation fraction"):
        input_pipeline.hold_out(photos, fraction)


def test_elpv_has_the_published_sizes():
    pytest.importorskip("elpv_dataset", reason="needs pip install '.[demo]'")
    source = input_pipeline.load_source("elpv")
    train, test = source.splits["train"], source.splits["test"]
    assert (len(train), len(test)) == (1968, 656)
    assert source.class_names == ("functional", "defective")
    assert not set(train.names) & set(test.names)
    # 821 of the 2,624 cells have a defect probability of at least 0.5.
    assert (train.labels.sum(), test.labels.sum()) == (616, 205)
    assert input_pipeline.load_source("elpv").splits["test"].names == test.names
    other = input_pipeline.load_source("elpv", seed=1).splits["test"]
    assert (len(other), other.labels.sum()) == (656, 205)
    assert set(other.names) != set(test.names)


def test_a_missing_wheel_says_what_to_install(hide):
    hide("elpv_dataset")
    with pytest.raises(UserError, match=r"elpv-dataset.*pip install '\.\[demo\]'"):
        input_pipeline.load_source("elpv")


def annotations(path, names, classes=None):
    fields = [("bbox_x1", "O"), ("fname", "O")] + ([("class", "O")] if classes else [])
    rows = np.zeros((1, len(names)), fields)
    for number, name in enumerate(names):
        rows[0, number]["bbox_x1"] = 1
        rows[0, number]["fname"] = name
        if classes:
            rows[0, number]["class"] = classes[number]
    scipy.io.savemat(path, {"annotations": rows})


@pytest.fixture(params=["flat", "nested"])
def cars(request, tmp_path):
    """A Stanford Cars of two classes and three photos, in either layout of the devkit."""
    for split, names in (("train", ["1.jpg", "2.jpg"]), ("test", ["1.jpg"])):
        folder = tmp_path / f"cars_{split}"
        folder = folder / f"cars_{split}" if request.param == "nested" else folder
        folder.mkdir(parents=True)
        for name in names:
            (folder / name).write_bytes(f"{split} {name}".encode())
    devkit = tmp_path / "devkit"
    devkit.mkdir()
    classes = np.array([["Zebra 2012", "Acura RL"]], object)
    scipy.io.savemat(devkit / "cars_meta.mat", {"class_names": classes})
    annotations(devkit / "cars_train_annos.mat", ["1.jpg", "2.jpg"], [2, 1])
    annotations(devkit / "cars_test_annos.mat", ["1.jpg"])
    labels = tmp_path if request.param == "flat" else devkit
    annotations(labels / "cars_test_annos_withlabels.mat", ["1.jpg"], [2])
    return tmp_path


def test_stanford_cars_devkit(cars):
    source = input_pipeline.load_source("stanford_cars", str(cars))
    assert source.class_names == ("Zebra 2012", "Acura RL")
    train, test = source.splits["train"], source.splits["test"]
    assert list(train.labels) == [1, 0]
    assert list(test.labels) == [1]
    assert train.read(1) == b"train 2.jpg"
    assert test.read(0) == b"test 1.jpg"
    assert train.names[1].endswith("cars_train/2.jpg")


def test_stanford_cars_without_test_classes_is_refused(cars):
    for path in cars.rglob("cars_test_annos_withlabels.mat"):
        path.unlink()
    with pytest.raises(UserError, match=r"cars_test_annos\.mat has no classes.*withlabels"):
        input_pipeline.load_source("stanford_cars", str(cars))


def test_stanford_cars_names_what_is_wrong(cars):
    photo = next(cars.rglob("2.jpg"))
    photo.unlink()
    with pytest.raises(UserError, match=r"1 of 2 photos are missing.*2\.jpg"):
        input_pipeline.load_source("stanford_cars", str(cars))
    photo.touch()
    annotations(cars / "devkit/cars_train_annos.mat", ["1.jpg", "2.jpg"], [3, 1])
    with pytest.raises(UserError, match=r"1\.jpg class 3, expected 1 to 2"):
        input_pipeline.load_source("stanford_cars", str(cars))
    (cars / "devkit/cars_train_annos.mat").write_bytes(b"not MATLAB")
    with pytest.raises(UserError, match="not a readable MATLAB file"):
        input_pipeline.load_source("stanford_cars", str(cars))
    (cars / "devkit/cars_train_annos.mat").unlink()
    with pytest.raises(UserError, match=r"no cars_train_annos\.mat"):
        input_pipeline.load_source("stanford_cars", str(cars))


def test_the_real_cars(shared):
    source = input_pipeline.load_source("stanford_cars", str(shared / "data" / "stanford_cars"))
    sizes = {name: len(split) for name, split in source.splits.items()}
    assert sizes == {"train": 4776, "test": 1666}
    assert len(source.class_names) == 196
    assert source.class_names[source.splits["train"].labels.max()] == source.class_names[-1]
    test = source.splits["test"]
    batch = next(input_pipeline.Loader(test, batch_size=4, resolution=64).evaluate(test))
    assert batch["image"].std() > 20

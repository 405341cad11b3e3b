import os
import sys
import types

import numpy as np
import pytest
import scipy.io
from named_files import contents, write

import input_pipeline
from efficientnet.errors import UserError
from input_pipeline.sources.stanford_cars import CLASS_NAMES


def test_class_folders_with_train_and_test(tmp_path):
    write(tmp_path, "train/tulip/1.jpg", "train/daisy/a b/ü.PNG", "train/daisy/notes.txt")
    write(tmp_path, "test/daisy/3.jpeg", "val/tulip/4.jpg")
    source = input_pipeline.load_source("folders", str(tmp_path))
    assert source.class_names == ("daisy", "tulip")
    assert contents(source.splits["train"]) == {"train/daisy/a b/ü.PNG": 0, "train/tulip/1.jpg": 1}
    assert contents(source.splits["test"]) == {"test/daisy/3.jpeg": 0}
    assert contents(source.splits["validation"]) == {"val/tulip/4.jpg": 1}


def test_a_lone_validation_folder_is_the_test_split(tmp_path):
    write(tmp_path, "train/daisy/1.jpg", "train/tulip/1.jpg", "val/daisy/2.jpg")
    source = input_pipeline.load_source("folders", str(tmp_path))
    assert set(source.splits) == {"train", "test"}


def test_capitals_of_split_folders_do_not_matter(tmp_path):
    write(tmp_path, "Train/tulip/1.jpg", "Train/daisy/2.jpg", "TEST/daisy/3.jpg", "Val/tulip/4.jpg")
    source = input_pipeline.load_source("folders", str(tmp_path))
    assert source.class_names == ("daisy", "tulip")
    assert contents(source.splits["test"]) == {"TEST/daisy/3.jpg": 0}
    assert set(source.splits) == {"train", "test", "validation"}


def test_two_folders_of_one_split_are_refused(tmp_path):
    write(tmp_path, "train/daisy/1.jpg", "val/daisy/2.jpg", "validation/daisy/3.jpg")
    with pytest.raises(
        UserError, match="several folders of the validation split: keep one of val, val"
    ):
        input_pipeline.load_source("folders", str(tmp_path))


@pytest.mark.parametrize("name", [b"data/caf\xe9/1.jpg", b"data/a/caf\xe9.jpg", b"caf\xe9/a/1.jpg"])
def test_names_that_are_not_unicode_are_refused(tmp_path, name):
    """Plots and tables fail with them, long after the photos were listed."""
    write(tmp_path, os.fsdecode(name))
    (folder,) = tmp_path.iterdir()
    refused = pytest.raises(
        UserError, match=r"the name '.*caf\\udce9.*' is not in UTF-8: rename it"
    )
    with refused:
        input_pipeline.load_source("folders", str(folder))
    for arguments in ([str(folder)], [str(tmp_path / os.fsdecode(name))], [f"{folder}/*/*.jpg"]):
        with refused:
            input_pipeline.find_photos(arguments)


def test_class_folders_without_splits_are_divided(tmp_path):
    write(tmp_path, *(f"{kind}/{number}.jpg" for kind in ("a", "b") for number in range(10)))
    splits = input_pipeline.load_source("folders", str(tmp_path)).splits
    assert (len(splits["train"]), len(splits["test"])) == (16, 4)
    assert list(splits["test"].labels) == [0, 0, 1, 1]
    assert not set(splits["train"].names) & set(splits["test"].names)


def test_class_folders_name_what_is_wrong(tmp_path):
    with pytest.raises(UserError, match="no class folder in"):
        input_pipeline.load_source("folders", str(tmp_path))
    write(tmp_path, "train/daisy/1.jpg", "test/rose/1.jpg", "train/tulip/readme.txt")
    with pytest.raises(UserError, match=r"no photo in the class folder .*tulip"):
        input_pipeline.load_source("folders", str(tmp_path))
    write(tmp_path, "train/tulip/1.jpg")
    with pytest.raises(UserError, match=r"class folder .*rose is none of the 2 classes"):
        input_pipeline.load_source("folders", str(tmp_path))


def test_stanford_cars_as_one_table(tmp_path):
    write(tmp_path, "car_ims/000001.jpg", "car_ims/000002.jpg")
    rows = np.zeros((1, 2), [("relative_im_path", "O"), ("class", "O"), ("test", "O")])
    rows[0, 0] = ("car_ims/000001.jpg", 2, 0)
    rows[0, 1] = ("car_ims/000002.jpg", 1, 1)
    names = np.array([["Zebra 2012", "Acura RL"]], object)
    scipy.io.savemat(tmp_path / "cars_annos.mat", {"annotations": rows, "class_names": names})
    source = input_pipeline.load_source("stanford_cars", str(tmp_path))
    assert source.class_names == ("Zebra 2012", "Acura RL")
    assert contents(source.splits["train"]) == {"car_ims/000001.jpg": 1}
    assert contents(source.splits["test"]) == {"car_ims/000002.jpg": 0}


def test_stanford_cars_as_class_folders_keeps_the_order_of_the_devkit(tmp_path):
    van = "Ram C-V Cargo Van Minivan 2012"
    write(tmp_path, "train/Acura Integra Type R 2001/1.jpg", f"train/{van}/2.jpg")
    write(tmp_path, f"test/{van.replace('-', '_')}/3.jpg")
    source = input_pipeline.load_source("stanford_cars", str(tmp_path))
    assert source.class_names == CLASS_NAMES
    assert len(set(CLASS_NAMES)) == 196
    train = source.splits["train"]
    assert [CLASS_NAMES[label] for label in train.labels] == [
        "Acura Integra Type R 2001",
        "Ram C/V Cargo Van Minivan 2012",
    ]
    assert train.labels[0] == 5
    assert list(source.splits["test"].labels) == [train.labels[1]]


def test_stanford_cars_in_folders_of_other_names(tmp_path):
    for split in ("cars_train", "cars_test"):
        write(tmp_path, f"{split}/{split}/Acura RL Sedan 2012/1.jpg")
    source = input_pipeline.load_source("stanford_cars", str(tmp_path))
    assert set(source.splits) == {"train", "test"}
    assert source.class_names[source.splits["test"].labels[0]] == "Acura RL Sedan 2012"


def test_the_devkit_has_the_class_names_of_the_table(shared):
    source = input_pipeline.load_source("stanford_cars", str(shared / "data" / "stanford_cars"))
    assert source.class_names == CLASS_NAMES


def test_tfds_without_the_extra_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(UserError, match=r"'cifar100' needs .* pip install '\.\[tfds\]'"):
        input_pipeline.load_source("tfds:cifar100")


@pytest.fixture
def library(monkeypatch):
    """A TensorFlow Datasets with the data set 'pets'; its features and labels may be changed."""

    class Examples(list):
        def as_numpy_iterator(self):
            return iter(self)

    class Builder:
        info = types.SimpleNamespace(
            features={"image": None, "label": types.SimpleNamespace(names=["cat", "dog"])},
            splits={"train": 2, "test": 1},
        )
        labels = (0, 1)

        def download_and_prepare(self):
            pass

        def as_dataset(self, split, decoders, read_config):
            (image,) = decoders
            label = next(name for name in self.info.features if name != image)
            return Examples(
                {image: f"{split} {row}".encode(), label: self.labels[row]}
                for row in range(self.info.splits[split])
            )

    def builder(name, data_dir):
        if name != "pets":
            raise KeyError(f"no {name}\nand much more")
        return Builder()

    library = types.SimpleNamespace(
        builder=builder,
        decode=types.SimpleNamespace(SkipDecoding=lambda: "skipped"),
        ReadConfig=lambda interleave_cycle_length: None,
    )
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", library)
    return Builder


def test_tfds_reads_photos_as_they_are_encoded(library):
    source = input_pipeline.load_source("tfds:pets")
    assert source.class_names == ("cat", "dog")
    assert contents(source.splits["train"]) == {"train 0": 0, "train 1": 1}
    with pytest.raises(UserError, match=r"can't provide 'unicorns': .*no unicorns") as error:
        input_pipeline.load_source("tfds:unicorns")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("labels", [[0, 1], [b"cat", b"dog"], np.array([3, 7]), [2.0, 10.0]])
def test_tfds_without_names_is_named_by_its_labels(library, labels):
    features = {"photo": None, "kind": types.SimpleNamespace()}
    splits = {"train": 2, "unlabeled": 9}
    keys = ("photo", "kind")
    library.info = types.SimpleNamespace(features=features, splits=splits, supervised_keys=keys)
    library.labels = labels
    source = input_pipeline.load_source("tfds:pets")
    texts = [label.decode() if isinstance(label, bytes) else f"{label:.0f}" for label in labels]
    assert source.class_names == tuple(texts)
    assert set(source.splits) == {"train", "test"}


def test_tfds_splits_may_have_other_names(library):
    library.info.splits.clear()
    library.info.splits.update({"dev": 2, "extra_train": 2, "train": 2, "testing": 2})
    source = input_pipeline.load_source("tfds:pets")
    assert {name: split.read(0) for name, split in source.splits.items()} == {
        "train": b"train 0",
        "validation": b"dev 0",
        "test": b"testing 0",
    }


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, -1], "row 1 of train of 'pets' has label '-1'"),
        ([[0, 1], 1], r"has label \[0, 1\]: exp"),
    ],
)
def test_tfds_names_what_is_no_label(library, labels, message):
    library.labels = labels
    with pytest.raises(UserError, match=message):
        input_pipeline.load_source("tfds:pets")


def test_tfds_without_photos_is_refused(library):
    library.info = types.SimpleNamespace(features={"text": 0}, splits={}, supervised_keys=None)
    with pytest.raises(UserError, match="has features text: expected a photo and a label"):
        input_pipeline.load_source("tfds:pets")

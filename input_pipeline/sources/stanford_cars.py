"""Stanford Cars (Krause et al. 2013) in the layout of its devkit.

cars_train/00001.jpg ...              or cars_train/cars_train/...
cars_test/00001.jpg ...
devkit/cars_meta.mat                  class_names, in label order
devkit/cars_train_annos.mat           annotations: class (from 1), fname
cars_test_annos_withlabels.mat        at the root or in devkit/
"""

import pathlib

import numpy as np
import scipy.io
from absl import logging

from efficientnet.errors import UserError
from input_pipeline.sources.split import Source, Split, from_files

FULL_SIZES = {"train": 8144, "test": 8041}
FULL_CLASSES = 196


def load(directory: pathlib.Path) -> Source:
    """Opens the train and test photos; says so when it is not the full published set.

    Raises:
      UserError: a file is missing or can't be read, or annotations have no class.
    """
    meta = _find(directory, "cars_meta.mat")
    class_names = tuple(str(name) for name in _read(meta, "class_names"))
    splits = {}
    for split, annotations in (
        ("train", _find(directory, "cars_train_annos.mat")),
        ("test", _find_test_annotations(directory)),
    ):
        photos = _photo_folder(directory, f"cars_{split}")
        splits[split] = _split(directory, photos, annotations, len(class_names))
    sizes = {split: len(examples) for split, examples in splits.items()}
    if sizes != FULL_SIZES or len(class_names) != FULL_CLASSES:
        logging.warning(
            "%s is not the full Stanford Cars: %d classes, %d train and %d test photos instead of "
            "%d, %d and %d",
            *(directory, len(class_names), sizes["train"], sizes["test"]),
            *(FULL_CLASSES, FULL_SIZES["train"], FULL_SIZES["test"]),
        )
    return Source("stanford_cars", class_names, splits)


def _find(directory: pathlib.Path, name: str) -> pathlib.Path:
    for folder in (directory, directory / "devkit", directory / "devkit" / "devkit"):
        if (folder / name).is_file():
            return folder / name
    raise UserError(
        f"no {name} in {directory} or its devkit folder: Stanford Cars is expected in its devkit "
        "layout"
    )


def _find_test_annotations(directory: pathlib.Path) -> pathlib.Path:
    try:
        return _find(directory, "cars_test_annos_withlabels.mat")
    except UserError:
        return _find(directory, "cars_test_annos.mat")


def _photo_folder(directory: pathlib.Path, name: str) -> pathlib.Path:
    for folder in (directory / name / name, directory / name):
        if folder.is_dir():
            return folder
    raise UserError(f"no folder {name} in {directory}: Stanford Cars keeps its photos there")


def _read(path: pathlib.Path, variable: str) -> np.ndarray:
    try:
        return np.atleast_1d(scipy.io.loadmat(path, squeeze_me=True)[variable])
    except KeyError:
        raise UserError(f"{path} has no {variable}: is it the file of the devkit?") from None
    except Exception as error:  # scipy raises many kinds on a file that isn't one
        raise UserError(f"{path} is not a readable MATLAB file: copy it again ({error})") from None


def _split(
    directory: pathlib.Path, photos: pathlib.Path, annotations: pathlib.Path, num_classes: int
) -> Split:
    rows = _read(annotations, "annotations")
    if "class" not in (rows.dtype.names or ()):
        raise UserError(
            f"{annotations} has no classes: test photos need cars_test_annos_withlabels.mat, put "
            f"it into {directory}"
        )
    folder = photos.relative_to(directory).as_posix()
    names = [f"{folder}/{row['fname']}" for row in rows]
    labels = [int(row["class"]) - 1 for row in rows]
    for name, label in zip(names, labels, strict=True):
        if not 0 <= label < num_classes:
            raise UserError(
                f"{annotations} gives {name} class {label + 1}, expected 1 to {num_classes}: "
                "correct the annotation"
            )
    return from_files(directory, names, labels)

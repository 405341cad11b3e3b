"""Stanford Cars (Krause et al. 2013) in all layouts in which it is distributed.

The devkit:
    cars_train/00001.jpg ...              or cars_train/cars_train/...
    cars_test/00001.jpg ...
    devkit/cars_meta.mat                  class_names, in label order
    devkit/cars_train_annos.mat           annotations: class (from 1), fname
    cars_test_annos_withlabels.mat        at the root or in devkit/
One table:
    cars_annos.mat                        relative_im_path, class, test; class_names
    car_ims/000001.jpg ...
Class folders, whose names have '/' replaced, in the label order of the devkit:
    train/Acura RL Sedan 2012/00670.jpg ...
    test/...
Hugging Face's parquet files; see `parquet`.
"""

import importlib.resources
import io
import logging
from collections.abc import Iterable

import numpy as np
import scipy.io
from etils import epath

from efficientnet.errors import UserError
from input_pipeline.sources import folders, parquet
from input_pipeline.sources.split import Source, Split, from_files

log = logging.getLogger(__name__)

# In the label order of the devkit, which is not sorted.
CLASS_NAMES = tuple(
    (importlib.resources.files("input_pipeline.sources") / "stanford_cars_classes.txt")
    .read_text("utf-8")
    .splitlines()
)
FULL_SIZES = {"train": 8144, "test": 8041}


def load(directory: epath.Path) -> Source:
    """Opens the train and test photos; warns if they are not the complete published set.

    Raises:
      UserError: a file is missing or unreadable, or annotations have no classes.
    """
    if (directory / "cars_annos.mat").is_file():
        source = _one_table(directory)
    elif (directory / "train").is_dir():
        source = folders.load_as("stanford_cars", directory, CLASS_NAMES, _letters)
    elif _has(directory, "cars_meta.mat"):
        source = _devkit(directory)
    elif any(path.is_dir() for path in _train_folder(directory)):
        source = folders.load_as("stanford_cars", directory, CLASS_NAMES, _letters)
    elif parquet.find(directory):
        source = parquet.load(directory)
    else:
        source = _devkit(directory)
    sizes = {split: len(examples) for split, examples in source.splits.items()}
    if sizes != FULL_SIZES or len(source.class_names) != len(CLASS_NAMES):
        log.warning(
            "%s is not the complete Stanford Cars: %d classes and %s photos instead of %d and %s",
            *(directory, len(source.class_names), sizes, len(CLASS_NAMES), FULL_SIZES),
        )
    return Source("stanford_cars", source.class_names, source.splits)


def _train_folder(directory: epath.Path) -> list[epath.Path]:
    root = folders.split_folders(directory).get("train")
    return list(root.iterdir()) if root else []


def _letters(name: str) -> str:
    """Returns a class name without the characters that file systems and archives change."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _devkit(directory: epath.Path) -> Source:
    meta = _find(directory, "cars_meta.mat")
    class_names = tuple(str(name) for name in _read(meta, "class_names"))
    splits = {}
    for split, annotations in (
        ("train", _find(directory, "cars_train_annos.mat")),
        ("test", _find(directory, "cars_test_annos_withlabels.mat", "cars_test_annos.mat")),
    ):
        rows = _read(annotations, "annotations")
        if "class" not in (rows.dtype.names or ()):
            raise UserError(
                f"{annotations} has no classes: test photos need cars_test_annos_withlabels.mat, "
                f"put it into {directory}"
            )
        photos = _photo_folder(directory, f"cars_{split}").relative_to(directory).as_posix()
        names = [f"{photos}/{row['fname']}" for row in rows]
        splits[split] = _split(directory, annotations, names, rows, len(class_names))
    return Source("stanford_cars", class_names, splits)


def _one_table(directory: epath.Path) -> Source:
    table = directory / "cars_annos.mat"
    rows = _read(table, "annotations")
    class_names = tuple(str(name) for name in _read(table, "class_names"))
    splits = {}
    for split, flag in (("train", 0), ("test", 1)):
        chosen = [row for row in rows if int(row["test"]) == flag]
        names = [str(row["relative_im_path"]) for row in chosen]
        splits[split] = _split(directory, table, names, chosen, len(class_names))
    return Source("stanford_cars", class_names, splits)


def is_devkit(directory: epath.Path) -> bool:
    """Whether a folder holds the tables of the published data set."""
    names = ("cars_annos.mat", "cars_meta.mat")
    return any(_has(directory, name) for name in names)


def _has(directory: epath.Path, name: str) -> epath.Path | None:
    folders = (directory, directory / "devkit", directory / "devkit" / "devkit")
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def _find(directory: epath.Path, *names: str) -> epath.Path:
    for name in names:
        found = _has(directory, name)
        if found:
            return found
    raise UserError(
        f"no {names[-1]} in {directory} or its devkit folder: expected Stanford Cars as its "
        "devkit, cars_annos.mat, class folders in train and test, or parquet files"
    )


def _photo_folder(directory: epath.Path, name: str) -> epath.Path:
    for folder in (directory / name / name, directory / name):
        if folder.is_dir():
            return folder
    raise UserError(f"no folder {name} in {directory}: Stanford Cars keeps its photos there")


def _read(path: epath.Path, variable: str) -> np.ndarray:
    try:
        return np.atleast_1d(
            scipy.io.loadmat(io.BytesIO(path.read_bytes()), squeeze_me=True)[variable]
        )
    except KeyError:
        raise UserError(f"{path} has no {variable}: is it the file of the devkit?") from None
    except Exception as error:  # scipy raises many kinds on a file that isn't one
        raise UserError(f"{path} is not a readable MATLAB file: copy it again ({error})") from None


def _split(
    directory: epath.Path,
    annotations: epath.Path,
    names: list[str],
    rows: Iterable[np.void],
    num_classes: int,
) -> Split:
    labels = [int(row["class"]) - 1 for row in rows]
    for name, label in zip(names, labels, strict=True):
        if not 0 <= label < num_classes:
            raise UserError(
                f"{annotations} gives {name} class {label + 1}, expected 1 to {num_classes}: "
                "correct the annotation"
            )
    return from_files(directory, names, labels)

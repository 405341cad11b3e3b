"""Class folders, with or without train and test folders above them.

    train/daisy/1.jpg                     or daisy/1.jpg
    test/daisy/2.jpg                         tulip/2.jpg
    validation/daisy/3.jpg (or val)

The names of the splits are not case-sensitive. Class names are the sorted names of the folders.
"""

from collections.abc import Callable, Sequence

from etils import epath

from efficientnet.errors import UserError
from input_pipeline.sources.split import Source, Split, from_files
from input_pipeline.sources.walk import EXTENSIONS, FOREIGN, Walk

SPLITS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}


def load(directory: epath.Path) -> Source:
    """Opens class folders.

    Raises:
      UserError: there is no class folder, a class folder has no photo, a split has several folders,
        or a test class is not among the training classes.
    """
    return load_as(directory.name, directory, None)


def load_as(
    name: str,
    directory: epath.Path,
    class_names: Sequence[str] | None,
    key: Callable[[str], str] = str,
) -> Source:
    """Opens class folders, optionally with a given order of the labels.

    Args:
      name: of the source.
      directory: the top folder.
      class_names: in label order; None takes the sorted names of the train folders.
      key: normalizes folder names and class names for comparison.
    """
    roots = _split_roots(directory)
    folders = {split: _folders(root) for split, root in (roots or {"train": directory}).items()}
    if class_names is None:
        class_names = [folder.name for folder in folders["train"]]
    walk = Walk(folder for found in folders.values() for folder in found)
    splits = {
        split: _split(directory, found, walk, class_names, key) for split, found in folders.items()
    }
    walk.left_out += [
        path
        for root in {directory, *roots.values()}
        for path in root.iterdir()
        if not path.name.startswith(".") and path.suffix.lower() in EXTENSIONS | FOREIGN
        if not path.is_dir()
    ]
    walk.warn(f"{', '.join(sorted(EXTENSIONS))} in class folders")
    return Source(name, tuple(class_names), splits)


def _split_roots(directory: epath.Path) -> dict[str, epath.Path]:
    """Returns the folders of the splits, by split; none without a train folder.

    Raises:
      UserError: a split has several folders.
    """
    found = [path for path in directory.iterdir() if path.name.lower() in SPLITS and path.is_dir()]
    roots: dict[str, epath.Path] = {}
    for split in dict.fromkeys(SPLITS.values()):
        names = sorted(path.name for path in found if SPLITS[path.name.lower()] == split)
        if len(names) > 1:
            raise UserError(
                f"{directory} has several folders of the {split} split: "
                f"keep one of {', '.join(names)}"
            )
        if names:
            roots[split] = directory / names[0]
    if "train" not in roots:
        return {}
    return roots


def _folders(root: epath.Path) -> list[epath.Path]:
    folders = [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
    if not folders:
        raise UserError(
            f"no class folder in {root}: expected one folder per class, or train and test folders "
            "that have them"
        )
    return sorted(folders, key=lambda folder: folder.name)


def _split(
    directory: epath.Path,
    folders: Sequence[epath.Path],
    walk: Walk,
    class_names: Sequence[str],
    key: Callable[[str], str],
) -> Split:
    label_of = {key(name): label for label, name in enumerate(class_names)}
    names, labels = [], []
    for folder in folders:
        if key(folder.name) not in label_of:
            raise UserError(
                f"the class folder {folder} is none of the {len(class_names)} classes "
                f"({class_names[0]}, ...): rename or remove it"
            )
        photos = sorted(path.relative_to(directory).as_posix() for path in walk.photos(folder))
        if not photos:
            raise UserError(
                f"no photo in the class folder {folder} ({', '.join(sorted(EXTENSIONS))}): "
                "add photos or remove the folder"
            )
        names.extend(photos)
        labels.extend([label_of[key(folder.name)]] * len(photos))
    return from_files(directory, names, labels)

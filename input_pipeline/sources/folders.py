"""Class folders, with or without folders of the splits above them.

    train/daisy/1.jpg                     or daisy/1.jpg
    test/daisy/2.jpg                         tulip/2.jpg
    validation/daisy/3.jpg

Split folders may have any of the names in `splitting.WORDS`, also with a prefix and nested once, as
in seg_train/seg_train/. A class may have such a name too: folders are splits only if one is to
train on and holds class folders. Class names are the sorted names of the folders.
"""

import logging
import unicodedata
from collections.abc import Callable, Sequence

from etils import epath

from efficientnet.errors import UserError
from input_pipeline.sources.labels import check_names
from input_pipeline.sources.split import Source, Split, from_files
from input_pipeline.sources.splitting import SPLITS, split_of
from input_pipeline.sources.walk import Walk

log = logging.getLogger(__name__)


def load(directory: epath.Path) -> Source:
    """Opens class folders.

    Raises:
      UserError: there are not two class folders, a class folder has no photo, a split has several
        folders, or a test class is not among the training classes.
    """
    return load_as(directory.name or "folders", directory, None)


def _composed(name: str) -> str:
    """Returns a name as most systems write it; macOS decomposes letters with accents."""
    return unicodedata.normalize("NFC", name)


def load_as(
    name: str,
    directory: epath.Path,
    class_names: Sequence[str] | None,
    key: Callable[[str], str] = _composed,
) -> Source:
    """Opens class folders, optionally with a given order of the labels.

    Args:
      name: of the source.
      directory: the top folder.
      class_names: in label order; None takes the sorted names of the train folders.
      key: normalizes folder names and class names for comparison.
    """
    walk = Walk()
    roots = split_folders(directory)
    if roots:
        walk.leave_out(walk.look(directory)[0], "outside of class folders")
    folders = {
        split: _folders(walk, root) for split, root in (roots or {"train": directory}).items()
    }
    if class_names is None:
        class_names = [folder.name for folder in folders["train"]]
        check_names(class_names, str(roots.get("train", directory)))
        _check_level(walk, folders["train"])
    walk.claim(folder for found in folders.values() for folder in found)
    splits = {
        split: _split(directory, found, walk, class_names, key) for split, found in folders.items()
    }
    walk.report(directory)
    return Source(name, tuple(class_names), splits)


def split_folders(directory: epath.Path) -> dict[str, epath.Path]:
    """Returns the folders of the splits, by split; {} if the folders are classes.

    Raises:
      UserError: a split has several folders, none is to train on, or it is not clear whether the
        folders are splits or classes.
    """
    look = Walk().look
    found: dict[str, list[epath.Path]] = {}
    for path in look(directory)[1]:
        found.setdefault(split_of(path.name), []).append(path)
    others = found.pop("", [])
    hold_classes = [path for paths in found.values() for path in paths if look(path)[1]]
    if not found or (others and not any(look(path)[1] for path in found.get("train", []))):
        return {}
    if "train" not in found:
        if not hold_classes:
            return {}
        raise UserError(
            f"{directory} has no folder to train on, only {_names(hold_classes)}: name one 'train'"
        )
    for split, paths in found.items():
        if len(paths) > 1:
            raise UserError(
                f"{directory} has several folders of the {split} split: keep one of {_names(paths)}"
            )
    unclear = [path for path in others if any(Walk().photos(path))]
    if unclear and len(found) == 1:
        raise UserError(
            f"in {directory}, {_names(found['train'])} looks like the training split, but "
            f"{_names(unclear)} holds photos too: move what is not to train on elsewhere or, if "
            "these are all classes, rename the first"
        )
    if unclear:
        log.info("%s: not used, as their names are of no split: %s", directory, _names(unclear))
    roots = {split: _nested(found[split][0], split) for split in SPLITS if split in found}
    for split in list(roots):
        photos, classes = look(roots[split])
        if split != "train" and photos and not classes:
            log.warning("%s is not used: no class folders in it", roots.pop(split))
    return roots


def _nested(root: epath.Path, split: str) -> epath.Path:
    """Returns the split's folder in its folder, if there is nothing else, as archives have it."""
    photos, folders = Walk().look(root)
    alone = not photos and len(folders) == 1 and split_of(folders[0].name) == split
    return folders[0] if alone else root


def _names(paths: Sequence[epath.Path], most: int = 5) -> str:
    return ", ".join([path.name for path in paths[:most]] + ["..."] * (len(paths) > most))


def _folders(walk: Walk, root: epath.Path) -> list[epath.Path]:
    photos, folders = walk.look(root)
    if not folders:
        raise UserError(
            f"no class folder in {root}, which holds {len(photos)} photos: expected one folder per "
            "class, or train and test folders that have them"
        )
    walk.leave_out(photos, "outside of class folders")
    return folders


def _check_level(walk: Walk, folders: Sequence[epath.Path]) -> None:
    """Refuses a single class, and warns of classes that all hold the same folders."""
    photos, below = Walk().look(folders[0])
    if len(folders) == 1:
        what = f"the folders {_names(below)}" if below else f"{len(photos)} photos"
        how = f"give {folders[0]} if these are meant" if below else "add another class"
        raise UserError(
            f"{folders[0].parent} has one class folder, {folders[0].name}, with {what}: expected "
            f"two classes or more, {how}"
        )
    if photos or len(below) < 2:
        return
    held = {tuple(path.name for path in Walk().look(folder)[1]) for folder in folders}
    if len(held) == 1:
        log.warning(
            "%s: the classes are %s, each of which holds %s: if these are the classes, bring them "
            "up one level",
            *(folders[0].parent, _names(folders), _names(below)),
        )


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
                f"no photo in the class folder {folder}{_instead(folder)}: add photos or remove it"
            )
        names.extend(photos)
        labels.extend([label_of[key(folder.name)]] * len(photos))
    return from_files(directory, names, labels)


def _instead(folder: epath.Path) -> str:
    walk = Walk()
    list(walk.photos(folder))
    return f" ({walk.left_out()})" if walk.left_out() else ""

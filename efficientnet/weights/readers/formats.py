"""Recognizes the format of a checkpoint by its content, not by its name."""

import functools
import mmap
import zipfile
from collections.abc import Callable

from etils import epath

from efficientnet.errors import UserError
from efficientnet.weights.readers import (
    archives,
    hdf5,
    keras,
    safetensors_file,
    tf_checkpoint,
    torch_pickle,
)
from efficientnet.weights.readers.checkpoint import Checkpoint, map_file

START_BYTES = 64
GZIP_MAGIC = b"\x1f\x8b"
LFS_POINTER = b"version https://git-lfs"
PICKLE_PROTOCOL = b"\x80"  # the first instruction of every pickle since protocol 2
SINGLE_FILES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".keras", ".h5")


def open_checkpoint(path: epath.Path) -> Checkpoint:
    """Opens a checkpoint of any known format.

    Args:
      path: a file; a TensorFlow checkpoint's prefix; a folder that holds one checkpoint; or a
        .tar.gz of such a folder.

    Raises:
      UserError: there is nothing, or nothing of a known format.
    """
    prefix_path = tf_checkpoint.prefix_of(path)
    if prefix_path is not None:
        files: tf_checkpoint.Files = {
            file.name: functools.partial(map_file, file) for file in path.parent.iterdir()
        }
        return tf_checkpoint.read(prefix_path, prefix_path.name, files)
    if path.is_dir():
        files = _files_below(path)
        prefix = tf_checkpoint.find_prefix(files, str(path))
        if prefix is not None:
            return tf_checkpoint.read(path, prefix, files)
        path = _only_file(path)
    if not path.exists():
        raise UserError(f"no checkpoint at {path}: expected a file, a folder or a TF prefix")

    with path.open("rb") as file:
        start = file.read(START_BYTES)
    if start.startswith(GZIP_MAGIC):
        return _open_archive(path)
    if start.startswith(archives.ZIP_MAGIC):
        with path.open("rb") as file, zipfile.ZipFile(file) as content:
            is_keras = keras.WEIGHTS_MEMBER in content.namelist()
        return keras.read(path) if is_keras else torch_pickle.read(path)
    if hdf5.is_hdf5(start):
        return keras.read(path)
    if safetensors_file.is_safetensors(start):
        return safetensors_file.read(path)
    if start.startswith(PICKLE_PROTOCOL):
        return torch_pickle.read(path)
    if not start:
        raise UserError(f"{path} is empty: fetch it again")
    if start.startswith(LFS_POINTER):
        raise UserError(f"{path} only says where Git LFS has the file: fetch it with git lfs pull")
    raise UserError(
        f"{path} is of no format known here: expected a TensorFlow checkpoint, .tar.gz, .pth, "
        ".safetensors, .h5 or .keras"
    )


def _files_below(folder: epath.Path) -> dict[str, Callable[[], mmap.mmap]]:
    files: dict[str, Callable[[], mmap.mmap]] = {}
    for place, _, names in folder.walk():
        for name in names:
            file = place / name
            files[file.relative_to(folder).as_posix()] = functools.partial(map_file, file)
    return files


def _only_file(folder: epath.Path) -> epath.Path:
    files = sorted(file for file in folder.iterdir() if file.name.endswith(SINGLE_FILES))
    if len(files) != 1:
        if not files:
            endings = ", ".join(SINGLE_FILES)
            raise UserError(f"{folder} holds no checkpoint: expected one file ending in {endings}")
        found = ", ".join(file.name for file in files)
        raise UserError(f"{folder} should hold one checkpoint and holds {found}: name one")
    return files[0]


def _open_archive(path: epath.Path) -> Checkpoint:
    contents = archives.unpack_tar(path)
    files = {name: functools.partial(contents.__getitem__, name) for name in contents}
    prefix = tf_checkpoint.find_prefix(files, str(path))
    if prefix is None:
        raise UserError(f"{path} is an archive without a TensorFlow checkpoint: unpack it")
    return tf_checkpoint.read(path, prefix, files)

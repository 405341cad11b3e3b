"""Weights in a repository of the Hugging Face Hub, by `hf:OWNER/NAME` or by timm's name.

What `config.json` says of the network is read before the weights are downloaded.
"""

import dataclasses
import pathlib
import re

from etils import epath

from efficientnet import hub
from efficientnet.errors import UserError
from efficientnet.weights import model_config
from efficientnet.weights.model_config import ModelConfig
from efficientnet.weights.readers.formats import SINGLE_FILES

TIMM = "timm:"
PREFERRED = ("model.safetensors", "pytorch_model.bin")
# The weights that timm means by a name without a tag, from its models/efficientnet.py.
DEFAULT_TAGS = {
    **{f"tf_efficientnet_b{i}": "ns_jft_in1k" for i in range(8)},
    "tf_efficientnet_b8": "ap_in1k",
    "tf_efficientnet_l2": "ns_jft_in1k_475",
    **{f"tf_efficientnet_lite{i}": "in1k" for i in range(5)},
    "efficientnet_b0": "ra_in1k",
    "efficientnet_b1": "ra4_e3600_r240_in1k",
    "efficientnet_b2": "ra_in1k",
    "efficientnet_b3": "ra2_in1k",
    "efficientnet_b4": "ra2_in1k",
    "efficientnet_b5": "sw_in12k_ft_in1k",
    "efficientnet_lite0": "ra_in1k",
}
# How timm called some of them before it had tags.
_OLD_NAME = re.compile(r"(tf_efficientnet_(?:b\d|l2))_(ns|ap)(_475)?")
_OLD_TAGS = {"ns": "ns_jft_in1k", "ap": "ap_in1k"}


@dataclasses.dataclass(frozen=True)
class Located:
    """Weights in the cache of the Hub.

    Attributes:
      reference: pinned, with the path of the file.
      path: of the file in the cache.
      config: of the network.
      digest: the file's SHA-256, as the Hub states it; '' if it doesn't.
      license: as the repository's card or the config states it; '' if neither does.
    """

    reference: hub.Reference
    path: epath.Path
    config: ModelConfig
    digest: str
    license: str


def reference_of(weights: str) -> hub.Reference | None:
    """Returns the reference for 'hf:OWNER/NAME' or 'timm:NAME'; None for other weights.

    Raises:
      UserError: it is wrong, or timm has no such weights.
    """
    if weights.startswith(hub.PREFIX):
        return hub.parse(weights, hub.MODEL)
    if not weights.startswith(TIMM):
        return None
    name, at, revision = weights.removeprefix(TIMM).partition("@")
    if found := _OLD_NAME.fullmatch(name):
        name = f"{found[1]}.{_OLD_TAGS[found[2]]}{found[3] or ''}"
    if "." not in name:
        if name not in DEFAULT_TAGS:
            raise UserError(
                f"timm has no weights for {name!r}: expected a name with its tag, such as "
                f"efficientnet_b0.ra_in1k, or one of {', '.join(DEFAULT_TAGS)}"
            )
        name = f"{name}.{DEFAULT_TAGS[name]}"
    return hub.parse(f"{hub.PREFIX}timm/{name}{at}{revision}", hub.MODEL)


def locate(reference: hub.Reference, variant: str | None, cached: bool = False) -> Located:
    """Downloads weights and what describes them.

    Args:
      reference: to a repository, or to one of its files.
      variant: that they must be of; None for any.
      cached: whether to take only what is in the cache.

    Raises:
      UserError: see `hub.fetch`; or the repository holds no EfficientNet, one of another variant,
        no file of weights or several.
    """
    pinned = hub.pin(reference, cached)
    beside = pathlib.PurePosixPath(pinned.path).parent
    described = [hub.literal(str(beside / name)) for name in model_config.FILES]
    folder = hub.fetch(pinned, described, cached, quiet=True)
    config = model_config.read(epath.Path(folder) / pinned.path, str(reference))
    if variant and config.variant not in ("", variant):
        raise UserError(
            f"{reference} is of the variant {config.variant}, not {variant}: set the variant to "
            f"{config.variant} (config.variant, --variant), or choose other weights"
        )
    names = hub.names(pinned, cached)
    file = pinned.path or _choose(reference, names)
    if file not in names:
        raise UserError(f"{reference.repository} has no file {file}: {_some(names)}")
    path = hub.fetch(pinned, [hub.literal(file)], cached) / file
    return Located(
        dataclasses.replace(pinned, path=file),
        epath.Path(path),
        config,
        hub.digest_of(path),
        hub.license_of(pinned) or config.license,
    )


def _choose(reference: hub.Reference, names: list[str]) -> str:
    for name in PREFERRED:
        if name in names:
            return name
    found = [name for name in names if name.endswith((*SINGLE_FILES, ".tar.gz"))]
    if not found:
        raise UserError(
            f"{reference} has no weights: expected {' or '.join(PREFERRED)}, or one file that ends "
            f"in {', '.join(SINGLE_FILES)}; {_some(names)}"
        )
    if len(found) > 1:
        raise UserError(
            f"{reference} has several files of weights, {', '.join(found[:10])}: say which, as in "
            f"{reference}/{found[0]}"
        )
    return found[0]


def _some(names: list[str]) -> str:
    return f"it holds {', '.join(names[:10]) or 'nothing'}{', ...' * (len(names) > 10)}"

"""Pretrained weights with the conventions they were trained under, and our own file format.

The format is safetensors, with the paths of our leaves as names and all the rest as metadata.
"""

import dataclasses
import json
import logging
import math

import numpy as np
from etils import epath

from efficientnet.errors import UserError
from efficientnet.weights.conventions import Conventions, Preprocessing
from efficientnet.weights.matching import Leaves
from efficientnet.weights.readers import safetensors_file

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """The weights of a network, with the conventions they were trained under.

    Attributes:
      variant: a key of `variants.VARIANTS`.
      family: whose naming the file had: 'tf1', 'keras', 'timm', 'torchvision' or 'lukemelas'.
      params: {layer: {leaf: float32 array}}, for `EfficientNet`'s collection `params`. The arrays
        may be read-only views into the file.
      batch_stats: the same for the collection `batch_stats`.
      preprocessing: mean and standard deviation of each color, on the scale from 0 to 255.
      padding: 'same' or 'symmetric'.
      bn_epsilon: added to BatchNorm's variance.
      num_classes: length of the logits; 0 without a classifier, which only fine-tuning can use.
      source: where the weights are from, for messages.
      ema: whether they are moving averages.
      origin: where they were read or downloaded: a path, a URL or a pinned 'hf:...'.
      digest: the file's SHA-256, if one came with it that was checked; else ''.
      license: as their publisher states it; '' if unknown.
      resolution: pixels per side that they were trained for; None if only the variant tells.
      preparation: of photos for testing, in our syntax of augmentations; '' if unknown.
      class_names: in label order; () if unknown.
    """

    variant: str
    family: str
    params: Leaves
    batch_stats: Leaves
    preprocessing: Preprocessing
    padding: str
    bn_epsilon: float
    num_classes: int
    source: str
    ema: bool = False
    origin: str = ""
    digest: str = ""
    license: str = ""
    resolution: int | None = None
    preparation: str = ""
    class_names: tuple[str, ...] = ()

    @property
    def conventions(self) -> Conventions:
        """What goes with the weights in a network."""
        return Conventions(self.preprocessing, self.padding, self.bn_epsilon)

    @property
    def channels(self) -> int:
        """Number of color channels of the input images."""
        return self.params["stem_conv"]["kernel"].shape[2]

    @property
    def parameters(self) -> int:
        """Number of scalars in `params`."""
        return sum(leaf.size for leaves in self.params.values() for leaf in leaves.values())


def adapt(pretrained: Pretrained, num_classes: int | None = None, channels: int = 3) -> Pretrained:
    """Returns the weights for another number of classes or channels.

    With another number of classes, or without a classifier, a new one begins at zero, which is
    logged, so that the first loss is log(num_classes) exactly. For gray images the stem's
    kernel is summed over the colors, which equals showing the same gray in every color, except that
    the colors' means and standard deviations are averaged.

    Args:
      pretrained: the weights, which are not changed.
      num_classes: of the new network; None keeps the classifier.
      channels: 3 for color, 1 for gray images.

    Raises:
      UserError: color images for weights of gray ones, fewer than one class, or a classifier to
        keep where there is none.
    """
    params = dict(pretrained.params)
    preprocessing = pretrained.preprocessing
    if channels != pretrained.channels:
        if (pretrained.channels, channels) != (3, 1):
            raise UserError(
                f"weights for {pretrained.channels}-channel images can't take {channels} channels: "
                "expected 3, or 1 in place of 3"
            )
        kernel = params["stem_conv"]["kernel"].sum(axis=2, keepdims=True)
        params["stem_conv"] = {**params["stem_conv"], "kernel": kernel}
        preprocessing = preprocessing.gray()
        log.info("The stem's kernel is summed over the colors for gray images.")
    if num_classes is None:
        num_classes = pretrained.num_classes
        check_classifier(pretrained)
    if num_classes < 1:
        raise UserError(f"a network with {num_classes} classes: expected at least 1")
    if num_classes != pretrained.num_classes:
        dropped = f"The classifier of {pretrained.num_classes} classes is dropped; a"
        log.info(
            "%s new one of %d begins at zero.",
            dropped if pretrained.num_classes else "A",
            num_classes,
        )
        features = params["top_conv"]["kernel"].shape[-1]
        params["predictions"] = {
            "kernel": np.zeros((features, num_classes), np.float32),
            "bias": np.zeros(num_classes, np.float32),
        }
        pretrained = dataclasses.replace(pretrained, class_names=())
    return dataclasses.replace(
        pretrained, params=params, preprocessing=preprocessing, num_classes=num_classes
    )


def check_classifier(pretrained: Pretrained) -> None:
    """Raises a `UserError` if weights have no classifier, which all use but fine-tuning needs."""
    if not pretrained.num_classes:
        raise UserError(
            f"{pretrained.source} has no classifier of an EfficientNet: fine-tune it with train.py "
            "(config.weights), or choose weights that have one"
        )


def save(pretrained: Pretrained, path: epath.Path) -> None:
    """Writes weights with everything that `load_pretrained` needs to restore them."""
    tensors = {
        f"{collection}/{layer}/{leaf}": array
        for collection, layers in (
            ("params", pretrained.params),
            ("batch_stats", pretrained.batch_stats),
        )
        for layer, leaves in layers.items()
        for leaf, array in leaves.items()
    }
    metadata = {
        "variant": pretrained.variant,
        "family": pretrained.family,
        "preprocessing": json.dumps(dataclasses.asdict(pretrained.preprocessing)),
        "padding": pretrained.padding,
        "bn_epsilon": repr(pretrained.bn_epsilon),
        "source": pretrained.source,
        "ema": str(pretrained.ema).lower(),
        "license": pretrained.license,
        "resolution": str(pretrained.resolution or ""),
        "preparation": pretrained.preparation,
        "class_names": json.dumps(pretrained.class_names),
    }
    safetensors_file.write(path, tensors, metadata)


def restore(pretrained: Pretrained, metadata: dict[str, str]) -> Pretrained:
    """Returns weights from our own file with the conventions in the file's metadata.

    Raises:
      KeyError, ValueError, TypeError: they are missing or impossible.
    """
    parsed = json.loads(metadata["preprocessing"])
    mean, std = (tuple(float(value) for value in parsed[key]) for key in ("mean", "std"))
    epsilon = float(metadata["bn_epsilon"])
    if not all(map(math.isfinite, (*mean, *std, epsilon))) or min(std) <= 0 or epsilon <= 0:
        raise ValueError("impossible preprocessing")
    if len(mean) != pretrained.channels or len(std) != pretrained.channels:
        raise ValueError("preprocessing for another number of colors")
    if metadata["padding"] not in ("same", "symmetric"):
        raise ValueError(f"unknown padding {metadata['padding']}")
    return dataclasses.replace(
        pretrained,
        family=metadata["family"],
        preprocessing=Preprocessing(mean, std),
        padding=metadata["padding"],
        bn_epsilon=epsilon,
        source=metadata["source"],
        ema=metadata["ema"] == "true",
        # Not in files of earlier versions.
        license=metadata.get("license", ""),
        resolution=int(metadata.get("resolution") or 0) or None,
        preparation=metadata.get("preparation", ""),
        class_names=tuple(map(str, json.loads(metadata.get("class_names", "[]")))),
    )

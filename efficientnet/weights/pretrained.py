"""Pretrained weights together with the conventions that they were trained under."""

import dataclasses
import logging

import numpy as np

from efficientnet.errors import UserError
from efficientnet.weights.conventions import Preprocessing
from efficientnet.weights.matching import Leaves

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """A network's weights, and what it must do for them to mean what they meant.

    Attributes:
      variant: a key of `variants.VARIANTS`.
      family: whose naming the file had: 'tf1', 'keras', 'timm', 'torchvision' or 'lukemelas'.
      params: {layer: {leaf: float32 array}}, for `EfficientNet`'s collection `params`. The arrays
        may be read-only views into the file.
      batch_stats: the same for the collection `batch_stats`.
      preprocessing: mean and standard deviation of each color, on the scale from 0 to 255.
      padding: 'same' or 'symmetric'.
      bn_epsilon: added to BatchNorm's variance.
      num_classes: length of the logits.
      source: where the weights are from, for people.
      ema: whether they are moving averages.
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

    @property
    def channels(self) -> int:
        """Colors of the input images."""
        return self.params["stem_conv"]["kernel"].shape[2]

    @property
    def parameters(self) -> int:
        """How many numbers `params` holds."""
        return sum(leaf.size for leaves in self.params.values() for leaf in leaves.values())


def adapt(pretrained: Pretrained, num_classes: int | None = None, channels: int = 3) -> Pretrained:
    """Returns the weights for another number of classes or of colors.

    With another number of classes the classifier is dropped, which is logged, and the new one
    begins at zero: the first loss is exactly log(num_classes), whatever the features are. For gray
    images the stem's kernel is summed over the colors, which is what showing the same gray in every
    color does, up to the difference between the colors' means and deviations: these are averaged.

    Args:
      pretrained: the weights; left as they are.
      num_classes: of the new network; None keeps the classifier.
      channels: 3 for color, 1 for gray images.

    Raises:
      UserError: color images for weights that have seen gray ones, or a number that can't be.
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
        mean, std = (float(np.mean(x)) for x in (preprocessing.mean, preprocessing.std))
        preprocessing = Preprocessing((mean,), (std,))
        log.info("The stem's kernel is summed over the colors for gray images.")
    if num_classes is None:
        num_classes = pretrained.num_classes
    if num_classes < 1:
        raise UserError(f"a network with {num_classes} classes: expected at least 1")
    if num_classes != pretrained.num_classes:
        log.info(
            "The classifier of %d classes is dropped; a new one of %d begins at zero.",
            pretrained.num_classes,
            num_classes,
        )
        features = params["predictions"]["kernel"].shape[0]
        params["predictions"] = {
            "kernel": np.zeros((features, num_classes), np.float32),
            "bias": np.zeros(num_classes, np.float32),
        }
    return dataclasses.replace(
        pretrained, params=params, preprocessing=preprocessing, num_classes=num_classes
    )

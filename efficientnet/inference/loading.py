"""A network, pretrained or trained here, in one line."""

import importlib.resources
import pathlib
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from efficientnet.errors import UserError
from efficientnet.inference.network import Network
from efficientnet.network.model import EfficientNet
from efficientnet.network.variants import get_variant
from efficientnet.weights import load_pretrained

if TYPE_CHECKING:
    from efficientnet.inference.trained import TrainedNetwork

IMAGENET_CLASSES = 1000
# As in the TPU reference implementation's evaluation.
PREPARATION = "center_crop(0.875, method='bicubic')"


def load(weights: str, variant: str | None = None) -> Network:
    """Loads a network, pretrained or trained here.

    Args:
      weights: 'noisy_student', 'imagenet', 'autoaugment', 'randaugment', 'advprop', 'lite',
        'lite_wheel', the path of a checkpoint in any known format, or a run's workdir, of which
        the last finished stage is taken.
      variant: such as 'b0'; a path doesn't need it.

    Raises:
      UserError: as `weights.load_pretrained` or `training.trained.load_run`.
    """
    run = _run(weights)
    if run:
        if variant not in (None, run.config.variant):
            raise UserError(f"{weights} is a run of {run.config.variant}, not of {variant}")
        return run
    pretrained = load_pretrained(weights, variant)
    row = get_variant(pretrained.variant)
    module = EfficientNet(
        variant=row,
        num_classes=pretrained.num_classes,
        padding=pretrained.padding,
        bn_epsilon=pretrained.bn_epsilon,
    )
    variables = {"params": pretrained.params, "batch_stats": pretrained.batch_stats}
    return Network(
        module=module,
        variables=jax.tree.map(jnp.asarray, variables),
        preprocessing=pretrained.preprocessing,
        class_names=class_names(pretrained.num_classes),
        resolution=row.resolution,
        preparation=PREPARATION,
    )


def _run(weights: str) -> "TrainedNetwork | None":
    """Loads a run, if the path is that of one."""
    if "://" not in weights and not pathlib.Path(weights).expanduser().is_dir():
        return None
    # Orbax takes its time, and pretrained weights don't need it.
    from efficientnet.inference import trained

    return trained.load_run(weights) if trained.is_run(weights) else None


def class_names(num_classes: int) -> tuple[str, ...]:
    """ImageNet's names for a thousand classes, else numbers."""
    if num_classes != IMAGENET_CLASSES:
        return tuple(f"class {index}" for index in range(num_classes))
    names = importlib.resources.files("efficientnet.weights") / "imagenet_classes.txt"
    return tuple(names.read_text("utf-8").splitlines())

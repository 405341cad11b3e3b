"""Our own files: safetensors whose names are our leaves and whose metadata says all the rest."""

import dataclasses
import json
import math

from etils import epath

from efficientnet.weights.conventions import Preprocessing
from efficientnet.weights.pretrained import Pretrained
from efficientnet.weights.readers import safetensors_file


def save(pretrained: Pretrained, path: epath.Path) -> None:
    """Writes weights with everything that `load_pretrained` needs to give them back."""
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
    }
    safetensors_file.write(path, tensors, metadata)


def restore(pretrained: Pretrained, metadata: dict[str, str]) -> Pretrained:
    """Gives weights from our own file back what was saved with them.

    Raises:
      KeyError, ValueError, TypeError: it is missing or makes no sense.
    """
    parsed = json.loads(metadata["preprocessing"])
    mean, std = (tuple(float(value) for value in parsed[key]) for key in ("mean", "std"))
    epsilon = float(metadata["bn_epsilon"])
    if not all(map(math.isfinite, (*mean, *std, epsilon))) or min(std) <= 0 or epsilon <= 0:
        raise ValueError("preprocessing that makes no sense")
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
    )

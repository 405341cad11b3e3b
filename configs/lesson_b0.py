r"""A first lesson in transfer learning with EfficientNet-B0, on a folder of photos a class.

    python train.py --config=configs/lesson_b0.py --workdir=runs/lesson \
        --config.data.directory=DIRECTORY

From a lesson with torchvision, which expects 0.85 to 0.95 with 100 to 1,000 photos a class, where a
small network of one's own gets 0.60 to 0.80. After the colon comes `finetune` (default): features
of a frozen backbone, then everything; `features` alone; `layerwise`, the same with rates that fall
with depth; or `progressive`, which opens one freeze group after another. A variant may follow.

| parameter | source | ours |
| --- | --- | --- |
| `weights` | torchvision's | `autoaugment`, or its file: --config.weights=PATH |
| `augment`, `normalization` | resized to 224 px, ImageNet's mean and std | the same |
| `batch_size` | not known | 32 |
| features: `train`, `dropout` | Dropout 0.2 and a linear layer | `predictions`, 0.2 |
| `optimizer`, `learning_rate`, `schedule` | Adam, 1e-3, constant | the same |
| `epochs`, `label_smoothing` | 5 to 10, 0 | 10, 0 |
| finetune: `train` | everything | `all` |
| `learning_rate` | "very low" | 1e-5; `layerwise` 1e-4, times 0.8 a block down |
| `progressive`, `layerwise` | only named | the same rates, our numbers |

BatchNorm is frozen with its layers; model.train() in PyTorch would go on moving its statistics.
"""

from collections.abc import Callable

from ml_collections import ConfigDict

from configs import common

ADAM = {"optimizer": "adam", "schedule": "constant", "label_smoothing": 0.0, "dropout": 0.2}


def features() -> ConfigDict:
    """The classifier alone."""
    return common.stage("features", "predictions", epochs=10, learning_rate=1e-3, **ADAM)


def everything(**fields: float) -> ConfigDict:
    """Everything, at a very low rate."""
    return common.stage("finetune", "all", epochs=10, **fields, **ADAM)


STAGES: dict[str, Callable[[], tuple[ConfigDict, ...]]] = {
    "finetune": lambda: (features(), everything(learning_rate=1e-5)),
    "features": lambda: (features(),),
    "layerwise": lambda: (features(), everything(learning_rate=1e-4, layer_decay=0.8)),
    "progressive": lambda: common.progressive(
        "block5", epochs=3, learning_rate=1e-3, rate_factor=0.4, **ADAM
    ),
}


def get_config(arguments: str = "") -> ConfigDict:
    """Returns the recipe; the arguments are a key of STAGES and a variant."""
    recipe, variant = common.arguments(arguments, STAGES)
    config = common.get_config()
    config.variant = variant
    config.weights = "autoaugment"
    config.normalization = "imagenet"
    config.data.source = "folders"
    config.augment = "resize"
    config.stages = STAGES[recipe]()
    return config

r"""EfficientNet-B0 on Stanford Cars from random weights, in color or gray.

    python train.py --config=configs/cars_b0_scratch.py --workdir=runs/cars_scratch \
        --config.data.directory=DIRECTORY
    python train.py --config=configs/cars_b0_scratch.py:gray --workdir=runs/cars_scratch_gray \
        --config.data.directory=DIRECTORY

DIRECTORY holds `cars_train/`, `cars_test/` and `devkit/`; `:gray,b3` takes another network. From
the thesis of `cars_b0.py:thesis`, which found weight decay to matter from scratch, and not with
pretrained weights. Published top-1: color 0.790, gray 0.813; 4,258,624 and 4,258,048 parameters.
Neither has been run on the whole data set here.

| parameter | source, color / gray | ours |
| --- | --- | --- |
| `weights`, `channels` | none, 3 / 1 | the same |
| `weight_decay` | 0.3 / 0.1, of everything | of kernels: biases and BatchNorm never decay |
| `dropout` | 0.2 / 0 | the same |
| `mean`, `std` | of the training photos | the same |
| `plateau_patience` | 7: the rate falls at the eighth epoch | 8 |
| `augment`, all else of the stage | as with pretrained weights | as `cars_b0.py:thesis` |
"""

from ml_collections import ConfigDict

from configs import common
from configs.cars_b0 import AUGMENT, MEAN, STD, UNTIL_NOTHING_IMPROVES

# Weight decay, dropout, and the statistics of the training photos on the scale 0..1.
WAYS = {"rgb": (0.3, 0.2, MEAN, STD), "gray": (0.1, 0.0, (0.462,), (0.270,))}


def get_config(arguments: str = "") -> ConfigDict:
    """Returns the recipe; the arguments are 'rgb' or 'gray', and a variant."""
    way, variant = common.arguments(arguments, WAYS)
    weight_decay, dropout, mean, std = WAYS[way]
    config = common.get_config()
    config.variant = variant
    config.weights = ""
    config.channels = len(mean)
    config.mean, config.std = mean, std
    config.data.source = "stanford_cars"
    config.augment = AUGMENT
    settings = UNTIL_NOTHING_IMPROVES | {
        "batch_norm": "trained",
        "monitor": "loss",
        "plateau_patience": 8,  # 7 in PyTorch, see `cars_b0`
        "weight_decay": weight_decay,
        "dropout": dropout,
    }
    config.stages = (common.stage("scratch", "all", epochs=150, **settings),)
    return config

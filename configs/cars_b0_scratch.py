r"""EfficientNet-B0 on Stanford Cars from random weights, in color or gray.

    python train.py --config=configs/cars_b0_scratch.py --workdir=runs/cars_scratch \
        --config.data.directory=DIRECTORY
    python train.py --config=configs/cars_b0_scratch.py:gray --workdir=runs/cars_scratch_gray \
        --config.data.directory=DIRECTORY

DIRECTORY holds `cars_train/`, `cars_test/` and `devkit/`; `:gray,b3` takes another network. From a
thesis (PyTorch Lightning), which found weight decay to matter from scratch, and not with pretrained
weights. Published top-1 on the test photos: color 0.790, gray 0.813; 4,258,624 and 4,258,048
parameters. Neither has been run on the whole data set here.
"""

from ml_collections import ConfigDict

from configs import common
from configs.cars_b0 import AUGMENT

# Weight decay, dropout, and the statistics of the training photos on the scale 0..1.
WAYS = {
    "rgb": (0.3, 0.2, (0.470, 0.460, 0.455), (0.267, 0.266, 0.270)),
    "gray": (0.1, 0.0, (0.462,), (0.270,)),
}


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
    config.stages = (
        common.stage(
            "scratch",
            "all",
            epochs=150,
            learning_rate=1e-3,
            schedule="constant",
            weight_decay=weight_decay,
            dropout=dropout,
            batch_norm="trained",
            plateau_factor=0.1,
            plateau_patience=8,  # PyTorch's patience 7 lowers the rate at the eighth epoch
            stop_patience=10,
        ),
    )
    return config

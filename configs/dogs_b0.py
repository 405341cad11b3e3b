r"""EfficientNet-B0 on Stanford Dogs: a head with BatchNorm and dropout, then the last blocks.

    python train.py --config=configs/dogs_b0.py --workdir=runs/dogs_b0

TensorFlow Datasets provides the photos, at --config.data.directory if they are prepared there.
After the colon comes `finetune` (default), `head` or `scratch`, and a variant: `:head,b3`.

From a Keras 3 notebook. Published accuracy of the head after 10 epochs, which `scripts/sweep.py`
repeats, by rate and weight decay: 1e-2 with none 0.7898, with 0.001 0.7853, with 0.01 0.7931; 1e-3
with 0.01 0.8180; 1e-4 with 0.01 0.8108. Without augmentation about 0.60.

    python scripts/sweep.py --config=configs/dogs_b0.py:head --workdir=runs/dogs_sweep \
        --grid config.stages[0].learning_rate=1e-2,1e-3,1e-4 \
               config.stages[0].weight_decay=0,0.001,0.01 --set config.stages[0].epochs=10

The notebook opened the last 20 layers without their BatchNorms; the nearest whole freeze groups are
6, 7 and the top. It mirrors what turned and shifted photos leave free, which is black here, and its
contrast is about each channel's mean, here the luma's. None of it has been run here: the data set
is not at hand.
"""

from ml_collections import ConfigDict

from configs import common


def head() -> ConfigDict:
    """The classifier with its BatchNorm."""
    return common.stage(
        "head",
        "predictions",
        epochs=30,
        learning_rate=1e-4,
        schedule="constant",
        weight_decay=0.01,
        dropout=0.2,
        label_smoothing=0.0,
        batch_norm="trained",  # the head's own: the backbone is frozen
    )


def finetune() -> ConfigDict:
    """More of the network, BatchNorm frozen."""
    return common.stage(
        "finetune",
        "block6-",
        epochs=10,
        learning_rate=1e-5,
        schedule="constant",
        weight_decay=0.01,
        dropout=0.2,
        label_smoothing=0.0,
    )


def scratch() -> ConfigDict:
    """Everything, from random weights."""
    return common.stage(
        "scratch",
        "all",
        epochs=30,
        optimizer="adam",
        learning_rate=1e-3,
        schedule="constant",
        label_smoothing=0.0,
        batch_norm="trained",
    )


STAGES = {"finetune": (head, finetune), "head": (head,), "scratch": (scratch,)}


def get_config(arguments: str = "") -> ConfigDict:
    """Returns the recipe; the arguments are a key of STAGES and a variant."""
    recipe, variant = common.arguments(arguments, STAGES)
    config = common.get_config()
    config.variant = variant
    config.weights = "" if recipe == "scratch" else "imagenet"
    config.head_batch_norm = recipe != "scratch"
    config.data.source = "tfds:stanford_dogs"
    # 54 degrees are 0.15 of a full turn.
    config.augment = "resize|rotate(54)|translate(0.1)|flip_left_right|contrast(0.1)"
    config.batch_size = 64
    config.stages = tuple(make() for make in STAGES[recipe])
    return config

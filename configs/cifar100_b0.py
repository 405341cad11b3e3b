"""EfficientNet-B0 on CIFAR-100 shown at 224 px: a head, then everything but BatchNorm.

    python train.py --config=configs/cifar100_b0.py --workdir=runs/cifar100_b0

TensorFlow Datasets provides the photos, at --config.data.directory if they are prepared there.
After the colon comes `finetune` (default), `head` or `scratch`, and a variant: `:head,b3`.

From the Keras guide on fine-tuning EfficientNet. Published accuracy: from scratch 0.58, head alone
0.67, fine-tuned 0.807 (the paper's 0.88 takes AutoAugment or RandAugment and more epochs). The
guide validates on the test photos; here a tenth of the training photos is held out. Its contrast is
about each channel's mean, here the luma's. None of it has been run here: the data set is not at
hand.
"""

from ml_collections import ConfigDict

from configs import common

SGD = {
    "optimizer": "sgd",
    "momentum": 0.1,
    "nesterov": True,
    "schedule": "constant",
    "label_smoothing": 0.0,
    "dropout": 0.2,
}
# Keras lowers the rate by the validation loss.
PLATEAU = {
    "monitor": "loss",
    "min_improvement": 1e-4,
    "plateau_factor": 0.2,
    "plateau_patience": 5,
}


def head() -> ConfigDict:
    """The classifier with its BatchNorm."""
    return common.stage(
        "head",
        "predictions",
        epochs=25,
        learning_rate=0.2,
        batch_norm="trained",  # the head's own: the backbone is frozen
        plateau_floor=1e-4,
        **SGD,
        **PLATEAU,
    )


def finetune() -> ConfigDict:
    """More of the network, BatchNorm frozen."""
    return common.stage(
        "finetune", "all", epochs=25, learning_rate=0.005, plateau_floor=1e-5, **SGD, **PLATEAU
    )


def scratch() -> ConfigDict:
    """Everything, from random weights."""
    return common.stage("scratch", "all", epochs=20, learning_rate=0.2, batch_norm="trained", **SGD)


STAGES = {"finetune": (head, finetune), "head": (head,), "scratch": (scratch,)}


def get_config(arguments: str = "") -> ConfigDict:
    """Returns the recipe; the arguments are a key of STAGES and a variant."""
    recipe, variant = common.arguments(arguments, STAGES)
    config = common.get_config()
    config.variant = variant
    config.weights = "" if recipe == "scratch" else "noisy_student"
    config.head_batch_norm = recipe != "scratch"
    config.data.source = "tfds:cifar100"
    config.augment = "resize|flip_left_right|contrast(0.1)"
    config.batch_size = 64
    config.stages = tuple(make() for make in STAGES[recipe])
    return config

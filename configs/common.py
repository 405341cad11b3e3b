"""Every field of a recipe, with its unit and its default; a recipe changes what it needs.

A recipe starts from `get_config()`, and its stages from `stage()`. Both are locked: a misspelled
field or a value of another type is an error that names the field.
"""

from typing import Any

from ml_collections import ConfigDict, config_dict


def get_config() -> ConfigDict:
    """Returns the defaults; a recipe must still set `data.source` and `stages`."""
    config = ConfigDict()
    config.seed = 0  # of the split, the order, the augmentation and the initialization

    # Network.
    config.variant = "b0"  # a row of efficientnet/variants.py
    config.weights = "noisy_student"  # a name or a path, see docs/weights.md; '' for none
    config.resolution = config_dict.placeholder(
        int
    )  # pixels per side; None takes the variant's own
    config.channels = 3  # 3 for color, 1 for gray
    config.dtype = "float32"  # of activations, or 'bfloat16'; parameters are always float32

    # Data.
    config.data = ConfigDict()
    config.data.source = ""  # a name known to input_pipeline/sources
    config.data.directory = ""  # where the source's files are; '' if it needs none
    config.data.validation_split = ""  # a split of the source to validate on; '' holds one out
    config.data.validation_fraction = 0.1  # of the training photos of each class, held out
    config.augment = "random_resized_crop(scale=(0.5, 1.0))|flip_left_right"  # in reading order
    config.preprocess = "resize"  # for evaluation, in the same language
    config.batch_size = 32  # photos per step, over all devices and processes

    # Stages, in order; each starts from the best weights of the one before.
    config.stages = ()

    # Watching and saving.
    config.log_every_steps = 10  # steps between two points of the training curves
    config.checkpoint_every_steps = 200  # steps between two checkpoints, besides every epoch's end
    config.lock()
    return config


def stage(name: str, train: str, epochs: float, **fields: Any) -> ConfigDict:
    """Returns one stage.

    Args:
      name: what curves, checkpoints and the report call it.
      train: the block groups that train, such as 'predictions', 'block6-' or 'all'.
      epochs: passes over the training photos.
      **fields: values of the other fields, declared below.
    """
    config = ConfigDict()
    config.name = name
    config.train = train
    config.epochs = float(epochs)

    # Optimization.
    config.optimizer = "adamw"  # a key of efficientnet/training/optimizer.py's OPTIMIZERS
    config.learning_rate = 1e-3  # peak, after the warm-up
    config.schedule = "cosine"  # after the warm-up: 'cosine' to 0, or 'constant'
    config.warmup_epochs = 0.0  # epochs of linear warm-up from 0
    config.weight_decay = 0.0  # of kernels; never of biases or BatchNorm

    # Regularization.
    config.label_smoothing = 0.1  # probability mass spread over all classes
    config.dropout = config_dict.placeholder(float)  # before the classifier; None: the variant's
    config.drop_connect = 0.2  # stochastic depth: drop rate of the last block

    # BatchNorm of what trains: 'frozen', only its 'statistics', or wholly 'trained'.
    config.batch_norm = "frozen"

    # The validation metric that picks the stage's best weights: 'top1' or 'loss'.
    config.monitor = "top1"
    config.lock()
    config.update(fields)
    return config

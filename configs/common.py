"""Every field of a recipe, with its unit and its default; a recipe changes what it needs.

A recipe starts from `get_config()`, and its stages from `stage()`. Both are locked: a misspelled
field or a value of another type is an error that names the field.
"""

from collections.abc import Collection
from typing import Any

from ml_collections import ConfigDict, config_dict

from efficientnet.errors import UserError
from efficientnet.network import freeze_groups
from efficientnet.network.variants import VARIANTS


def get_config() -> ConfigDict:
    """Returns the defaults; a recipe must still set `data.source` and `stages`."""
    config = ConfigDict()
    config.seed = 0  # of the validation split, the order, the augmentation and the initialization

    # Network.
    config.variant = "b0"  # a row of efficientnet/network/variants.py
    config.weights = "noisy_student"  # a name or a path, see docs/weights.md; '' for none
    config.resolution = config_dict.placeholder(
        int
    )  # pixels per side; None takes the variant's own
    config.channels = 3  # 3 for color, 1 for gray
    config.dtype = "float32"  # of activations, or 'bfloat16'; parameters are always float32

    # For the gradient, keep only what goes into each block and compute the rest again: a larger
    # batch or network fits, for about a third more computation.
    config.remat = False
    # Each device's BatchNorm takes the statistics of its own photos, where a stage trains it, and
    # none waits for another: for large slices. Results then depend on the number of devices.
    config.batch_norm_per_device = False
    config.head_batch_norm = False  # a BatchNorm between the features and the classifier
    # The network sees (photo - mean) / std: those of the 'weights', of 'imagenet', or of the
    # 'training' photos, computed once. Or numbers, one a channel, on the scale 0..1.
    config.normalization = "weights"
    config.mean = ()
    config.std = ()

    # Data.
    config.data = ConfigDict()
    config.data.source = ""  # a name known to input_pipeline/sources
    config.data.directory = ""  # where its files are, '' if it needs none; may move
    config.data.validation_split = ""  # a split of the source to validate on; '' holds one out
    config.data.validation_fraction = 0.1  # of the training photos of each class, held out
    # Photos that can't be read which training skips, in each process; one more stops it.
    config.data.broken_limit = 0
    # Decoded training photos, each squeezed to a square: kept in 'memory' or on 'disk'; '' decodes
    # them anew each time.
    config.data.cache = ""
    config.data.cache_resolution = 256  # pixels per side of the squares
    config.data.cache_directory = ""  # of 'disk'; '' takes photos/ in the user's cache directory
    config.augment = "random_resized_crop(scale=(0.5, 1.0))|flip_left_right"  # in reading order
    config.preprocess = "resize"  # for evaluation, in the same language
    config.batch_size = 32  # photos per step, over all devices and processes

    # Stages, in order; each starts from the best weights of the one before, or from its last.
    config.stages = ()

    # Watching and saving.
    config.skip_steps = 0  # steps of a stage with a loss that is not finite to skip, not to stop at
    config.log_every_steps = 10  # steps between two points of the training curves
    config.checkpoint_every_steps = 1000  # steps between two checkpoints, besides every epoch's end
    config.checkpoint_every_minutes = 5.0  # and minutes after the last one; 0 for steps alone
    config.profile_steps = ""  # such as '10:20', the steps after 10 up to 20, to trace; '' for none
    config.keep_checkpoints = 2  # the latest so many, besides the best weights of each stage
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
    config.optimizer = "adamw"  # a key of efficientnet/training/optim.py's OPTIMIZERS
    config.learning_rate = 1e-3  # peak, after the warm-up
    config.head_learning_rate = config_dict.placeholder(float)  # the classifier's; None: the same
    config.layer_decay = 1.0  # factor on the rate per block from the classifier down; 1 for none
    config.momentum = 0.9  # of sgd and rmsprop
    config.nesterov = True  # sgd looks ahead along its momentum
    config.weight_decay = 0.0  # of kernels; never of biases or BatchNorm
    config.clip_norm = 0.0  # global norm that gradients are scaled down to; 0 for none

    # The learning rate's course: linear from 0 in the warm-up, then 'constant', 'cosine' to 0,
    # 'exponential', or 'step', which falls at once where 'exponential' falls smoothly.
    config.schedule = "cosine"
    config.warmup_epochs = 0.0  # epochs
    config.decay_rate = 0.97  # factor of 'exponential' and 'step' ...
    config.decay_epochs = 2.4  # ... over so many epochs, counted from the stage's beginning

    config.micro_batches = 1  # gradient accumulation: parts a batch is computed in, for memory

    # Regularization.
    config.label_smoothing = 0.1  # probability mass spread over all classes
    config.mixup = 0.0  # alpha of the Beta distribution of mixup's shares; 0 for none
    config.cutmix = 0.0  # the same of CutMix; with both on, each step takes one of them
    config.balance_classes = False  # every class gets the same share of the training loss
    config.dropout = config_dict.placeholder(float)  # before the classifier; None: the variant's
    config.drop_connect = 0.2  # stochastic depth: drop rate of the last block

    # A stage that trains the classifier alone can compute the features once, of so many augmented
    # copies of each photo, and take the copies in turns; 0 computes them anew in each step.
    config.cached_copies = 0

    # BatchNorm of what trains: 'frozen', only its 'statistics', or wholly 'trained'.
    config.batch_norm = "frozen"

    # Moving averages of what trains, validated besides; the better of the two is handed over.
    config.ema_decay = 0.0  # per step, such as 0.9999; 0 for none

    # The weights that the stage starts from: the 'best' or the 'last' of the stage before.
    config.start = "best"

    # The validation metric that picks the stage's best weights, and that what follows watches at
    # each epoch's end: 'top1', 'top3', 'top5' or 'loss'.
    config.monitor = "top1"
    config.min_improvement = 1e-3  # change of the metric that counts, in its own unit
    config.plateau_patience = 3  # epochs without improvement that lower the rate ...
    config.plateau_factor = 1.0  # ... by this factor; 1 never does
    config.plateau_floor = 0.0  # peak learning rate below which it is not lowered
    config.stop_patience = 0  # epochs without improvement that end the stage; 0 never does
    config.lock()
    config.update(fields)
    return config


def progressive(
    down_to: str, epochs: float, *, rate_factor: float = 1.0, **fields: Any
) -> tuple[ConfigDict, ...]:
    """Returns stages that unfreeze one more block group each, from the classifier down.

    Args:
      down_to: the last block group to open, such as 'block4' or 'stem'.
      epochs: of each stage.
      rate_factor: each stage's learning rate is that of the one before times this.
      **fields: values of the stages' other fields; `learning_rate` is the first stage's.

    Raises:
      UserError: there is no such block group.
    """
    stages = []
    for group in reversed(freeze_groups.parse(f"{down_to}-")):
        stages.append(stage(group, f"{group}-", epochs, **fields))
        stages[-1].learning_rate *= rate_factor ** (len(stages) - 1)
    return tuple(stages)


def arguments(text: str, recipes: Collection[str], variant: str = "b0") -> tuple[str, str]:
    """Reads what follows the colon of --config=FILE:ARGUMENTS, such as 'head' or 'head,b3'.

    Args:
      text: at most one of the recipes and at most one variant, joined by a comma.
      recipes: what the file has; the first is the default.
      variant: the default.

    Returns:
      The recipe and the variant.

    Raises:
      UserError: a word is neither.
    """
    recipe = next(iter(recipes))
    for word in filter(None, text.split(",")):
        if word in recipes:
            recipe = word
        elif word in VARIANTS:
            variant = word
        else:
            raise UserError(
                f"{word!r} after the config's colon: expected one of {', '.join(recipes)}, or a "
                f"variant, one of {', '.join(VARIANTS)}"
            )
    return recipe, variant

"""EfficientNet-B0 on CIFAR-100 shown at 224 px: a head, then everything but BatchNorm.

    python train.py --config=configs/cifar100_b0.py --workdir=runs/cifar100_b0

TensorFlow Datasets provides the photos, at --config.data.directory if they are prepared there.
After the colon comes `finetune` (default), `head`, `scratch` or `noisy_student`, the same as
`finetune` from other weights, and a variant: `:noisy_student,b1`. `--config.data.examples=5000`
trains on the first 5,000 photos, as the guide's `truncate_data`.

From the Keras guide on fine-tuning EfficientNet. Published accuracy: from scratch 0.58, head alone
0.67, fine-tuned 0.807 (the paper's 0.88 takes AutoAugment or RandAugment and more epochs).

| parameter | source | ours |
| --- | --- | --- |
| `weights` | Keras's `imagenet`, which is AutoAugment's; none in `scratch` | the same |
| `head_batch_norm`, `dropout` | BatchNorm (not in `scratch`), 0.2 | the same |
| `augment` | RandomFlip() both ways, RandomContrast(0.1), then resized | the same |
| `batch_size`, `drop_remainder` | 64, last partial batches dropped | the same, in training |
| `label_smoothing`, `schedule` | 0, constant but for plateaus | the same |
| `optimizer`, `learning_rate` | SGD 0.2 | the same |
| `momentum`, `nesterov` | 0.1, Nesterov | the same |
| `monitor`, `min_improvement` | validation loss, 1e-4 | the same |
| `plateau_factor`, `plateau_patience` | 0.2, 5 | the same |
| `stop_patience`, `drop_connect` | no early stop, 0.2 | the same |
| scratch: `epochs`, `plateau_floor` | 20, 0.005 | the same |
| head: `epochs`, `plateau_floor` | 25, 1e-4 | the same |
| `drop_in_frozen` | Keras drops in frozen blocks too | True |
| finetune: `train` | everything but the backbone's BatchNorm | `all` |
| `batch_norm`, `batch_norm_groups` | the head's own goes on training | `trained`, `predictions` |
| `learning_rate`, `momentum` | 0.005, plain SGD | the same |
| `epochs`, `plateau_floor`, `start` | 25, 1e-5, the head's last weights | the same |
| validated on | the test photos, without the last partial batch | held-out training photos, all |

None of it has been run here: the data set is not at hand.
"""

from ml_collections import ConfigDict

from configs import common

SGD = {"optimizer": "sgd", "learning_rate": 0.2, "momentum": 0.1, "nesterov": True}
PLAIN_SGD = {"optimizer": "sgd", "learning_rate": 0.005, "momentum": 0.0, "nesterov": False}
COMMON = {
    "schedule": "constant",
    "label_smoothing": 0.0,
    "dropout": 0.2,
    "batch_norm": "trained",
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
        plateau_floor=1e-4,
        drop_in_frozen=True,
        **SGD,
        **COMMON,
    )


def finetune() -> ConfigDict:
    """Everything but the backbone's BatchNorm."""
    return common.stage(
        "finetune",
        "all",
        epochs=25,
        plateau_floor=1e-5,
        batch_norm_groups="predictions",
        start="last",
        **PLAIN_SGD,
        **COMMON,
    )


def scratch() -> ConfigDict:
    """Everything, from random weights."""
    return common.stage("scratch", "all", epochs=20, plateau_floor=0.005, **SGD, **COMMON)


STAGES = {
    "finetune": (head, finetune),
    "head": (head,),
    "scratch": (scratch,),
    "noisy_student": (head, finetune),
}
WEIGHTS = {"scratch": "", "noisy_student": "noisy_student"}


def get_config(arguments: str = "") -> ConfigDict:
    """Returns the recipe; the arguments are a key of STAGES and a variant."""
    recipe, variant = common.arguments(arguments, STAGES)
    config = common.get_config()
    config.variant = variant
    config.weights = WEIGHTS.get(recipe, "autoaugment")
    config.head_batch_norm = recipe != "scratch"
    config.data.source = "tfds:cifar100"
    config.data.drop_remainder = True
    config.augment = "channel_contrast(0.1)|flip_left_right|flip_up_down|resize"
    config.batch_size = 64
    config.stages = tuple(make() for make in STAGES[recipe])
    return config

r"""EfficientNet-B0 on Stanford Dogs: a head with BatchNorm and dropout, then block 7 and the top.

    python train.py --config=configs/dogs_b0.py --workdir=runs/dogs_b0

TensorFlow Datasets provides the photos, at --config.data.directory if they are prepared there.
After the colon comes `finetune` (default), `head` or `scratch`, and a variant: `:head,b3`.

From a Keras 3 notebook. Published accuracy of the head after 10 epochs by rate and weight decay:
1e-2 with none 0.7898, with 0.001 0.7853, with 0.01 0.7931; 1e-3 with 0.01 0.8180; 1e-4 with 0.01
0.8108. Without augmentation about 0.60. The table, and what lies between:

    python scripts/sweep.py --config=configs/dogs_b0.py:head --workdir=runs/dogs_sweep \
        --grid config.stages[0].learning_rate=1e-2,1e-3,1e-4 \
               config.stages[0].weight_decay=0,0.001,0.01 --set config.stages[0].epochs=10

| parameter | source | ours |
| --- | --- | --- |
| `weights` | Keras's `imagenet`, which is AutoAugment's; none in `scratch` | the same |
| `head_batch_norm`, `dropout` | BatchNorm, 0.2 before the classifier; not in `scratch` | the same |
| `augment` | RandomRotation(0.15), RandomTranslation(0.1, 0.1), | rotate, translate |
| | one after the other, each reflecting what is free | in one warp, which reflects the photo |
| | RandomFlip(), both ways, RandomContrast(0.1) | both flips, channel_contrast |
| `batch_size`, `label_smoothing` | 64, 0 | the same |
| head: `optimizer`, `epsilon` | Adam, 1e-7, with decoupled decay | `adamw`, 1e-7 |
| `learning_rate`, `schedule`, `epochs` | 1e-4, constant, 30 | the same |
| `plateau_factor`, `stop_patience` | no plateau, no early stop | the same |
| `weight_decay` | 0.01, of everything | 0.01 of kernels: biases and BatchNorm never decay |
| `batch_norm` | of the head trained, of the backbone frozen | the same |
| `drop_in_frozen` | Keras drops in frozen blocks too | True |
| finetune: `train` | the last 20 layers: block 7, the top and the head | `block7-` |
| `batch_norm`, `batch_norm_groups` | the head's own goes on training | `trained`, `predictions` |
| `learning_rate`, `epochs` | 1e-5, 10 | the same |
| `start` | the head's last weights | `last` |
| scratch: `train`, `optimizer` | everything, Adam | the same |
| `learning_rate`, `epochs`, `drop_connect` | 1e-3, 30, 0.2 | the same |

None of it has been run here: the data set is not at hand.
"""

from ml_collections import ConfigDict

from configs import common

KERAS = {"schedule": "constant", "label_smoothing": 0.0, "dropout": 0.2, "epsilon": 1e-7}
FROZEN_BACKBONE = {"batch_norm": "trained", "drop_in_frozen": True, "weight_decay": 0.01}


def head() -> ConfigDict:
    """The classifier with its BatchNorm."""
    return common.stage(
        "head", "predictions", epochs=30, learning_rate=1e-4, **FROZEN_BACKBONE, **KERAS
    )


def finetune() -> ConfigDict:
    """Block 7 and the top too, but not their BatchNorm."""
    return common.stage(
        "finetune",
        "block7-",
        epochs=10,
        learning_rate=1e-5,
        batch_norm_groups="predictions",
        start="last",
        **FROZEN_BACKBONE,
        **KERAS,
    )


def scratch() -> ConfigDict:
    """Everything, from random weights."""
    return common.stage(
        "scratch", "all", epochs=30, optimizer="adam", batch_norm="trained", **KERAS
    )


STAGES = {"finetune": (head, finetune), "head": (head,), "scratch": (scratch,)}


def get_config(arguments: str = "") -> ConfigDict:
    """Returns the recipe; the arguments are a key of STAGES and a variant."""
    recipe, variant = common.arguments(arguments, STAGES)
    config = common.get_config()
    config.variant = variant
    config.weights = "" if recipe == "scratch" else "autoaugment"
    config.head_batch_norm = recipe != "scratch"
    config.data.source = "tfds:stanford_dogs"
    # 54 degrees are 0.15 of a full turn.
    config.augment = (
        "resize|rotate(54, fill='reflect')|translate(0.1, fill='reflect')"
        "|flip_left_right|flip_up_down|channel_contrast(0.1)"
    )
    config.batch_size = 64
    config.stages = tuple(make() for make in STAGES[recipe])
    return config

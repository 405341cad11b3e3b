"""A network, a data set and a recipe that are small enough to train in seconds."""

import io

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from configs import common
from efficientnet.network.variants import Variant
from input_pipeline.sources.split import Source, Split, from_encoded

COLORS = ((200, 60, 60), (60, 200, 60), (60, 60, 200))


def colored_photos(count: int, seed: int) -> Split:
    """Noisy photos in three colors, one for each class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % len(COLORS)
    encoded = []
    for label in labels:
        pixels = rng.normal(COLORS[label], 40, (36, 36, 3)).clip(0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, format="PNG")
        encoded.append(buffer.getvalue())
    return from_encoded(encoded, [f"{number}.png" for number in range(count)], labels.tolist())


VARIANT = Variant(width=0.25, depth=0.3, resolution=32, dropout=0.2)


def tiny_source() -> Source:
    splits = {"train": colored_photos(50, seed=0), "test": colored_photos(21, seed=1)}
    return Source("tiny", ("red", "green", "blue"), splits)


def tiny_recipe(*stages: ConfigDict) -> ConfigDict:
    config = common.get_config()
    config.variant = "tiny"
    config.weights = ""
    config.data.source = "tiny"
    config.data.validation_fraction = 0.2
    config.batch_size = 8
    config.log_every_steps = 2
    config.stages = stages
    return config

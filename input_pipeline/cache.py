"""Decoded photos in memory, for sets that fit."""

import logging

import numpy as np

from input_pipeline.batches import eval_batches
from input_pipeline.quiet_tensorflow import tf
from input_pipeline.sources.split import Split

log = logging.getLogger(__name__)


def cache_in_memory(split: Split, *, resolution: int, channels: int = 3) -> Split:
    """Decodes a split once, each photo squeezed to a square; says beforehand what it takes.

    Augmentations then see the square: a crop's aspect ratio is that of the square, not of the
    photo, and there is no detail beyond `resolution`.

    Args:
      split: what to decode.
      resolution: side of the squares, pixels; somewhat above that of the network.
      channels: 3, or 1 for gray.

    Returns:
      The same examples, whose `read` gives uint8 [resolution, resolution, channels].

    Raises:
      UserError: a photo can't be read.
    """
    shape = (len(split), resolution, resolution, channels)
    log.info("decoding %d photos into %.0f MB of memory", len(split), np.prod(shape) / 1e6)
    photos = np.empty(shape, np.uint8)
    batches = eval_batches(split, batch_size=32, resolution=resolution, channels=channels)
    for batch in batches:
        photos[batch["index"]] = batch["image"]
    table = tf.constant(photos)
    return Split(split.labels, split.names, lambda index: tf.gather(table, index))

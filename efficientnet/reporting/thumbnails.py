"""Small versions of photos for pages and plots."""

from collections.abc import Sequence
from typing import Any

import numpy as np

import input_pipeline

THUMBNAIL = 144  # pixels per side


def read(split: input_pipeline.Split, names: Sequence[str], config: Any) -> np.ndarray:
    """Reads photos, preprocessed as in the evaluation.

    Args:
      split: of any source.
      names: of the n photos, at least one.
      config: of the run, with `preprocess` and `channels`.

    Returns:
      uint8 [n, THUMBNAIL, THUMBNAIL, channels].
    """
    place = {name: index for index, name in enumerate(split.names)}
    (batch,) = input_pipeline.as_numpy(
        input_pipeline.eval_batches(
            split.take(np.array([place[name] for name in names])),
            batch_size=len(names),
            resolution=THUMBNAIL,
            channels=config.channels,
            preprocess=config.preprocess,
        )
    )
    return batch["image"]

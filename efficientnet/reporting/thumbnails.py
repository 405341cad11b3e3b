"""Small versions of photos for pages and plots."""

from typing import Any

import numpy as np

import input_pipeline

THUMBNAIL = 144  # pixels per side


def read(split: input_pipeline.Split, indices: np.ndarray, config: Any) -> np.ndarray:
    """Reads photos, preprocessed as in the evaluation.

    Args:
      split: of any source.
      indices: int [n], at least one.
      config: of the run, with `preprocess` and `channels`.

    Returns:
      uint8 [n, THUMBNAIL, THUMBNAIL, channels].
    """
    (batch,) = input_pipeline.as_numpy(
        input_pipeline.eval_batches(
            split.take(indices),
            batch_size=len(indices),
            resolution=THUMBNAIL,
            channels=config.channels,
            preprocess=config.preprocess,
        )
    )
    return batch["image"]

"""Photos of a split, small, for pages and pictures."""

from typing import Any

import numpy as np

import input_pipeline

THUMBNAIL = 144  # pixels per side


def read(split: input_pipeline.Split, indices: np.ndarray, config: Any) -> np.ndarray:
    """Reads photos as evaluation does, through `config.preprocess`.

    Args:
      split: of any source.
      indices: int [n], at least one.
      config: a run's, with `preprocess` and `channels`.

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

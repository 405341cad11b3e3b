"""Small versions of photos for pages and plots."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

import input_pipeline
from efficientnet.reporting import pages
from efficientnet.reporting.predictions import Predictions

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
    photos = split.take(np.array([place[name] for name in names]))
    loader = input_pipeline.Loader(
        photos,
        batch_size=len(names),
        resolution=THUMBNAIL,
        channels=config.channels,
        preprocess=config.preprocess,
    )
    (batch,) = loader.evaluate(photos)
    return batch["image"]


def with_captions(
    split: input_pipeline.Split,
    found: Predictions,
    shown: np.ndarray,
    taken_for: Sequence[tuple[str, float]],
    config: Any,
) -> Iterator[dict[str, Any]]:
    """Yields photos for the macro `photos`.

    Args:
      split: with the photos.
      found: their predictions.
      shown: int [n], which of these to show.
      taken_for: the class that each of the n is taken for, and its probability.
      config: of the run, see `read`.
    """
    if not len(shown):
        return
    names = [found.names[index] for index in shown]
    pictures, of_truth = read(split, names, config), found.of_truth
    for index, pixels, (other, sure) in zip(shown, pictures, taken_for, strict=True):
        yield {
            "name": found.names[index],
            "address": pages.photo(pixels),
            "taken_for": (other, f", {sure:.0%}"),
            "is": (found.class_names[found.label[index]], f", {of_truth[index]:.1%}"),
        }

"""Classifying photos in batches on all devices, preprocessed as in the network's evaluation."""

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import input_pipeline
from efficientnet.inference.network import Network
from efficientnet.reporting.predictions import softmax
from efficientnet.runtime import devices
from efficientnet.runtime.compiler_options import compiler_options
from efficientnet.runtime.progress_bar import progress_bar

BATCH_SIZE = 32  # over all devices


class PredictedBatch(NamedTuple):
    """A network's predictions for the readable photos of one batch."""

    names: list[str]
    probabilities: np.ndarray  # float64 [n, classes]
    features: np.ndarray  # float32 [n, features], pooled: the classifier's input


class Predictor(Iterator[PredictedBatch]):
    """Iterates over the predictions for photos, batch by batch and in order.

    A progress bar shows the rate and the time left if there is more than one batch.

    Attributes:
      skipped: names of the photos found to be unreadable so far.
    """

    def __init__(self, network: Network, paths: Sequence[str]) -> None:
        """Starts reading.

        Args:
          network: the network to run.
          paths: of the photos, see `input_pipeline.find_photos`.
        """
        mesh = devices.data_mesh()
        size = math.ceil(min(BATCH_SIZE, len(paths)) / mesh.size) * mesh.size
        batches, self.skipped = photo_batches(network, paths, size)
        self._results = _predict(network, paths, batches, mesh)

    def __next__(self) -> PredictedBatch:
        """Returns the predictions for the next batch."""
        return next(self._results)


def photo_batches(
    network: Network, paths: Sequence[str], batch_size: int
) -> tuple[Iterator[input_pipeline.Batch], list[str]]:
    """Returns batches as in the network's evaluation, and a growing list of unreadable photos."""
    loader = input_pipeline.Loader(
        input_pipeline.photo_split(paths),
        batch_size=batch_size,
        resolution=network.resolution,
        channels=network.channels,
        preprocess=network.preparation,
    )
    return loader.evaluate(loader.split, broken_limit=len(paths)), loader.skipped


def _predict(
    network: Network,
    paths: Sequence[str],
    batches: Iterator[input_pipeline.Batch],
    mesh: jax.sharding.Mesh,
) -> Iterator[PredictedBatch]:
    backbone = network.module.clone(features_only=True)
    classifier = network.module.clone(classifier_only=True)

    @functools.partial(jax.jit, compiler_options=compiler_options(mesh))
    def apply(variables: Any, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        features = backbone.apply(variables, network.preprocess(images))
        return jnp.asarray(classifier.apply(variables, features)), jnp.asarray(features)

    variables = jax.device_put(network.variables, devices.replicated(mesh))
    with progress_bar("predict", len(paths), hidden=len(paths) <= BATCH_SIZE) as bar:
        for batch in devices.to_devices(batches, mesh):
            logits, features = map(np.asarray, apply(variables, batch["image"]))
            index, mask = np.asarray(batch["index"]), np.asarray(batch["mask"])
            bar.update(len(np.unique(index)))
            if mask.any():
                names = [paths[i] for i in index[mask]]
                yield PredictedBatch(names, softmax(logits[mask]), features[mask])


def top_classes(network: Network, probabilities: np.ndarray, k: int) -> list[dict[str, object]]:
    """Returns the k most probable classes of one photo [classes], most probable first."""
    order = np.argsort(-probabilities, kind="stable")[:k]
    return [
        {
            "index": int(index),
            "class": network.class_names[index],
            "probability": float(probabilities[index]),
        }
        for index in order
    ]

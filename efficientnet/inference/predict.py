"""Classifying photos in batches on all devices, preprocessed as in the network's evaluation."""

import dataclasses
import difflib
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import input_pipeline
from efficientnet.errors import UserError
from efficientnet.inference.network import Network
from efficientnet.reporting.predictions import softmax
from efficientnet.runtime import devices
from efficientnet.runtime.progress_bar import progress_bar

BATCH_SIZE = 32  # over all devices
FEATURES_RESOLUTION = 128


class PredictedBatch(NamedTuple):
    """A network's predictions for the readable photos of one batch."""

    names: list[str]
    indices: np.ndarray  # int64 [n], of the photos in their split
    probabilities: np.ndarray  # float64 [n, classes]
    features: np.ndarray  # float32 [n, features], pooled: the classifier's input


def photo_loader(
    network: Network,
    photos: input_pipeline.Split,
    batch_size: int = BATCH_SIZE,
    broken_limit: int = 0,
) -> input_pipeline.Loader:
    """Returns a loader that prepares photos as in the network's evaluation.

    Args:
      network: to run on them.
      photos: for files, see `input_pipeline.photo_split`.
      batch_size: over all devices; rounded up to a multiple of them, and lower for fewer photos.
      broken_limit: how many unreadable photos may be skipped.
    """
    count = jax.device_count()
    return input_pipeline.Loader(
        photos,
        batch_size=math.ceil(min(batch_size, len(photos)) / count) * count,
        resolution=network.resolution,
        channels=network.channels,
        preprocess=network.preparation,
        broken_limit=broken_limit,
    )


def predict(network: Network, photos: input_pipeline.Loader) -> Iterator[PredictedBatch]:
    """Yields the predictions for all photos of a `photo_loader`, batch by batch and in order.

    A progress bar shows the rate and the time left if there is more than one batch.
    """
    mesh, names = devices.data_mesh(), photos.split.names
    backbone = network.module.clone(features_only=True)
    classifier = network.module.clone(classifier_only=True)

    def apply(variables: Any, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        features = backbone.apply(variables, network.preprocess(images))
        return jnp.asarray(classifier.apply(variables, features)), jnp.asarray(features)

    compute = devices.jit(apply, mesh)
    variables = devices.place(network.variables, mesh)
    batches = devices.to_devices(photos.evaluate(photos.split), mesh)
    with progress_bar("predict", len(names), hidden=len(names) <= photos.batch_size) as bar:
        for batch in batches:
            logits, features = map(np.asarray, compute(variables, batch["image"]))
            index, mask = np.asarray(batch["index"]), np.asarray(batch["mask"])
            bar.update(len(np.unique(index)))
            if mask.any():
                predicted = [names[i] for i in index[mask]]
                yield PredictedBatch(predicted, index[mask], softmax(logits[mask]), features[mask])


def features_of(network: Network, photos: input_pipeline.Split) -> np.ndarray:
    """Returns float32 [n, features] of all photos; zeros for unreadable ones.

    They are seen at FEATURES_RESOLUTION, which is enough to tell what is alike.
    """
    small = dataclasses.replace(network, resolution=FEATURES_RESOLUTION)
    found = np.zeros((len(photos), network.module.variant.top_filters), np.float32)
    for batch in predict(small, photo_loader(small, photos, broken_limit=len(photos))):
        found[batch.indices] = batch.features
    return found


def class_index(network: Network, name: str) -> int:
    """Returns the label of a class.

    Raises:
      UserError: the network has no such class; the message has similar names.
    """
    if name in network.class_names:
        return network.class_names.index(name)
    close = difflib.get_close_matches(name, network.class_names, n=5, cutoff=0.5)
    known = close or network.class_names[:5]
    raise UserError(f"there is no class {name!r}: expected a name such as {', '.join(known)}")


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

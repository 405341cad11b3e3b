"""Classifying photos in batches, on all devices, prepared as in the network's evaluation."""

import functools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import input_pipeline
from efficientnet.inference.network import Network
from efficientnet.reporting.predictions import softmax
from efficientnet.runtime import devices
from efficientnet.runtime.compiler_options import compiler_options
from efficientnet.training.progress import progress_line

BATCH = 32  # photos at a time, over all devices


class Answers(NamedTuple):
    """What a network says of one batch of readable photos."""

    names: list[str]
    probabilities: np.ndarray  # float64 [n, classes]
    features: np.ndarray  # float32 [n, features], pooled, as the classifier sees them


class Predictions(Iterator[Answers]):
    """The answers on photos, batch by batch, in their order.

    A line shows rate and time left where there is more than one batch.

    Attributes:
      skipped: names of the photos that can't be read, as far as is known.
    """

    def __init__(self, network: Network, paths: Sequence[str]) -> None:
        """Starts to read.

        Args:
          network: whom to ask.
          paths: of the photos; see `input_pipeline.find_photos`.
        """
        mesh = devices.data_mesh()
        size = math.ceil(min(BATCH, len(paths)) / mesh.size) * mesh.size
        batches = prepared(network, paths, size)
        self.skipped = batches.skipped
        self._answers = _answers(network, paths, batches, mesh)

    def __next__(self) -> Answers:
        """The next batch."""
        return next(self._answers)


def prepared(network: Network, paths: Sequence[str], batch_size: int) -> input_pipeline.Batches:
    """Returns batches of photos as the network's evaluation sees them; broken ones are skipped."""
    return input_pipeline.eval_batches(
        input_pipeline.photo_split(paths),
        batch_size=batch_size,
        resolution=network.resolution,
        channels=network.channels,
        preprocess=network.preparation,
        broken_limit=len(paths),
    )


def _answers(
    network: Network, paths: Sequence[str], batches: input_pipeline.Batches, mesh: jax.sharding.Mesh
) -> Iterator[Answers]:
    backbone = network.module.clone(features_only=True)
    classifier = network.module.clone(classifier_only=True)

    @functools.partial(jax.jit, compiler_options=compiler_options(mesh))
    def ask(variables: dict, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        features = backbone.apply(variables, network.preprocess(images))
        return jnp.asarray(classifier.apply(variables, features)), jnp.asarray(features)

    variables = jax.device_put(network.variables, devices.replicated(mesh))
    with progress_line("predict", len(paths), hidden=len(paths) <= BATCH) as line:
        for batch in devices.to_devices(batches, mesh):
            logits, features = map(np.asarray, ask(variables, batch["image"]))
            index, good = np.asarray(batch["index"]), np.asarray(batch["mask"])
            line.update(len(np.unique(index)))
            if good.any():
                names = [paths[i] for i in index[good]]
                yield Answers(names, softmax(logits[good]), features[good])


def best(network: Network, probabilities: np.ndarray, top: int) -> list[dict[str, object]]:
    """The `top` most probable classes of one photo [classes], best first."""
    order = np.argsort(-probabilities, kind="stable")[:top]
    return [
        {
            "index": int(index),
            "class": network.class_names[index],
            "probability": float(probabilities[index]),
        }
        for index in order
    ]

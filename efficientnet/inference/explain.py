"""Grad-CAM (Selvaraju et al. 2017): where in a photo a network sees a class."""

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import input_pipeline
from efficientnet.inference.network import Network
from efficientnet.reporting.predictions import softmax

BATCH_SIZE = 8


class Explanation(NamedTuple):
    """Where in a photo a network sees a class.

    Attributes:
      name: of the photo.
      image: uint8 [H, W, C], the photo as the network sees it.
      label: index of the class.
      probability: of the class.
      heat: float32 [H, W] from 0 to 1, where the evidence for the class is; its maximum is 1, or 0
        if there is no evidence.
    """

    name: str
    image: np.ndarray
    label: int
    probability: float
    heat: np.ndarray


def grad_cam(
    network: Network, images: jax.Array, labels: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """Weights the activation maps of the last convolution by their effect on a class's logit.

    The weight of a map is the mean over its positions of the logit's gradient (equation 1); the
    result is the positive part of the weighted sum (equation 2). These maps are followed only by a
    mean and a linear classifier, so the result equals CAM (Zhou et al. 2016) divided by the number
    of positions.

    From the logit the mean of all classes' logits is subtracted first. It changes no probability,
    but Adam may have moved it so far below zero that no logit is positive, and no evidence left.

    Args:
      network: the network to explain.
      images: uint8 [N, H, W, C].
      labels: int [N], the class to explain in each image; by default the most probable one.

    Returns:
      The logits [N, classes], and float32 [N, H', W'] at the size of the last convolution.
    """
    _, collections = network.module.apply(
        network.variables, network.preprocess(images), mutable=["intermediates"]
    )
    (maps,) = collections["intermediates"]["top"]
    maps = maps.astype(jnp.float32)
    classifier = network.module.clone(classifier_only=True)

    def logits_of(maps: jax.Array) -> jax.Array:
        return jnp.asarray(classifier.apply(network.variables, jnp.mean(maps, axis=(1, 2))))

    logits, vjp = jax.vjp(logits_of, maps)
    labels = jnp.argmax(logits, axis=-1) if labels is None else labels
    classes = logits.shape[-1]
    (gradient,) = vjp(jax.nn.one_hot(labels, classes) - 1 / classes)
    weights = jnp.mean(gradient, axis=(1, 2))
    return logits, jax.nn.relu(jnp.sum(maps * weights[:, None, None], axis=-1))


def explain(
    network: Network, photos: input_pipeline.Loader, label: int | None = None
) -> Iterator[Explanation]:
    """Yields the explanations of all photos of a `photo_loader`, in order.

    Args:
      network: the network to explain.
      photos: to explain it on, in batches of `BATCH_SIZE`.
      label: of the class to explain; by default the most probable one of each photo.
    """

    @jax.jit
    def compute(variables: Any, images: jax.Array, labels: jax.Array | None) -> Any:
        return grad_cam(dataclasses.replace(network, variables=variables), images, labels)

    for batch in photos.evaluate(photos.split):
        images = batch["image"]
        labels = None if label is None else np.full(len(images), label)
        logits, maps = compute(network.variables, images, labels)
        probabilities = softmax(np.asarray(logits))
        heats = np.asarray(jax.image.resize(maps, images.shape[:3], "linear"))
        for row in np.flatnonzero(batch["mask"]):
            explained = int(np.argmax(probabilities[row])) if label is None else label
            yield Explanation(
                photos.split.names[batch["index"][row]],
                images[row],
                explained,
                float(probabilities[row, explained]),
                heats[row] / max(heats[row].max(), 1e-12),
            )

"""Grad-CAM (Selvaraju et al. 2017): where on a photo a class is seen."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from efficientnet.inference.network import Network
from efficientnet.inference.predict import prepared
from efficientnet.reporting.predictions import softmax

BATCH = 8  # photos at a time


class Explanation(NamedTuple):
    """Why a network sees a class on a photo.

    Attributes:
      name: the photo's.
      image: uint8 [H, W, C], the photo as the network sees it.
      label: index of the class.
      probability: of the class.
      heat: float32 [H, W], 0..1; where the class's evidence is, 1 at its strongest; 0 everywhere
        if nothing speaks for the class.
    """

    name: str
    image: np.ndarray
    label: int
    probability: float
    heat: np.ndarray


def grad_cam(
    network: Network, images: jax.Array, labels: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """Weighs the last convolution's activation maps by what they do to a class's logit.

    The weight of a map is the mean over its positions of the logit's gradient (equation 1); the
    result is the weighted sum's positive part (equation 2). Behind these maps are only a mean and
    a linear classifier, so it equals CAM (Zhou et al. 2016) divided by the number of positions.

    Args:
      network: the network to explain.
      images: uint8 [N, H, W, C].
      labels: int [N], the class of each image; None takes the most probable one.

    Returns:
      The logits [N, classes], and the maps, float32 [N, H', W'] of the last convolution's size.
    """
    _, collections = network.module.apply(
        network.variables, network.preprocess(images), mutable=["intermediates"]
    )
    (maps,) = collections["intermediates"]["top"]
    maps = maps.astype(jnp.float32)
    classifier = network.module.clone(classifier_only=True)

    def logits_of(maps: jax.Array) -> jax.Array:
        return jnp.asarray(classifier.apply(network.variables, jnp.mean(maps, axis=(1, 2))))

    logits, pull = jax.vjp(logits_of, maps)
    labels = jnp.argmax(logits, axis=-1) if labels is None else labels
    (gradient,) = pull(jax.nn.one_hot(labels, logits.shape[-1]))
    weights = jnp.mean(gradient, axis=(1, 2))
    return logits, jax.nn.relu(jnp.einsum("nhwc,nc->nhw", maps, weights))


class Explanations(Iterator[Explanation]):
    """The explanations of photos, in their order.

    Attributes:
      skipped: names of the photos that can't be read, as far as is known.
    """

    def __init__(self, network: Network, paths: Sequence[str], label: int | None = None) -> None:
        """Starts to read.

        Args:
          network: the network to explain.
          paths: of the photos; see `input_pipeline.find_photos`.
          label: of the class to explain; None takes each photo's most probable one.
        """
        batches = prepared(network, paths, min(BATCH, len(paths)))
        self.skipped = batches.skipped
        self._rest = self._explain(network, paths, batches, label)

    def __next__(self) -> Explanation:
        """The next photo's."""
        return next(self._rest)

    @staticmethod
    def _explain(
        network: Network, paths: Sequence[str], batches: Iterator[dict], label: int | None
    ) -> Iterator[Explanation]:
        @jax.jit
        def compute(variables: dict, images: jax.Array, labels: jax.Array | None) -> Any:
            return grad_cam(dataclasses.replace(network, variables=variables), images, labels)

        for batch in batches:
            images = batch["image"]
            labels = None if label is None else np.full(len(images), label)
            logits, maps = compute(network.variables, images, labels)
            shares = softmax(np.asarray(logits))
            heats = np.asarray(jax.image.resize(maps, images.shape[:3], "linear"))
            for row in np.flatnonzero(batch["mask"]):
                chosen = int(np.argmax(shares[row])) if label is None else label
                yield Explanation(
                    paths[batch["index"][row]],
                    images[row],
                    chosen,
                    float(shares[row, chosen]),
                    heats[row] / max(heats[row].max(), 1e-12),
                )

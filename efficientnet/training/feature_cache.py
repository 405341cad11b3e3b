"""A cache of features for stages that train only the classifier: the backbone runs once."""

import dataclasses
import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import input_pipeline
from efficientnet.network.layers import normalize
from efficientnet.runtime import devices
from efficientnet.training import steps
from efficientnet.training.setup import Experiment
from input_pipeline.order import Order, Rows

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class FeatureBatches:
    """An `input_pipeline.BatchSource` with features in place of images.

    The order is that of the photos; epoch e uses copy e modulo copies.
    """

    order: Order  # of the training photos
    labels: np.ndarray  # int32 [photos]
    features: np.ndarray  # float32 [copies, photos, features]
    readable: np.ndarray  # bool [photos]
    validation_features: np.ndarray  # float32 [photos, features]
    validation_readable: np.ndarray  # bool [photos]
    skipped: list[str]
    refused: list[str] = dataclasses.field(default_factory=list)

    def train(self, start_step: int, num_steps: int) -> Iterator[input_pipeline.Batch]:
        """See `BatchSource`."""
        for rows in map(self.order.batch, range(start_step, start_step + num_steps)):
            features = self.features[rows.epoch % len(self.features), rows.index]
            yield _batch(features, self.labels, rows, self.readable[rows.index])

    def evaluate(self, split: input_pipeline.Split) -> Iterator[input_pipeline.Batch]:
        """See `BatchSource`; works only for the validation photos."""
        assert len(split) == len(self.validation_features)
        order = dataclasses.replace(self.order, total=len(split), seed=None)
        for rows in map(order.batch, order.steps):
            mask = rows.mask & self.validation_readable[rows.index]
            yield _batch(self.validation_features[rows.index], split.labels, rows, mask)


def _batch(
    features: np.ndarray, labels: np.ndarray, rows: Rows, mask: np.ndarray
) -> input_pipeline.Batch:
    return {"image": features, "label": labels[rows.index], "index": rows.index, "mask": mask}


def cached(experiment: Experiment, variables: Mapping[str, Any], copies: int) -> Experiment:
    """Returns the experiment with features in place of images, computed by its network.

    They are not saved; a resumed run computes them again.

    Args:
      experiment: with the photos; its stages must not train the backbone.
      variables: of the network, already on the devices.
      copies: number of augmented copies of each training photo.
    """
    model = experiment.model(experiment.config.stages[0]).clone(features_only=True)

    def features_of(variables: Mapping[str, Any], batch: steps.Batch) -> tuple[jax.Array, ...]:
        images = normalize(batch["image"], experiment.mean, experiment.std)
        return jnp.asarray(model.apply(variables, images)), batch["index"], batch["mask"]

    compute = devices.jit(features_of, experiment.mesh)

    def rows(batches: Iterable[dict[str, jax.Array]]) -> Iterator[tuple[np.ndarray, ...]]:
        for batch in batches:
            yield tuple(np.asarray(x) for x in compute(variables, batch))

    width, total = experiment.variant.top_filters, len(experiment.data.train)
    # Zeros for unreadable photos, because the mask can only exclude finite losses.
    train = np.zeros((copies, total, width), np.float32)
    validation = np.zeros((len(experiment.data.validation), width), np.float32)
    log.info(
        "computing the features of %d images, %.0f MB",
        copies * total + len(validation),
        (train.nbytes + validation.nbytes) / 2**20,
    )
    position = 0
    num_steps = math.ceil(copies * total / experiment.config.batch_size)
    # Only photos of which every copy is readable.
    readable = np.ones(total, bool)
    for features, index, mask in rows(experiment.train_batches(0, num_steps)):
        copy = np.arange(position, position + len(index)) // total
        wanted = (copy < copies) & mask
        readable[index[(copy < copies) & ~mask]] = False
        train[copy[wanted], index[wanted]] = features[wanted]
        position += len(index)
    validation_readable = np.zeros(len(validation), bool)
    for features, index, mask in rows(experiment.eval_batches(experiment.data.validation)):
        validation[index[mask]] = features[mask]
        validation_readable[index[mask]] = True
    order = Order(
        total,
        experiment.config.batch_size,
        experiment.config.seed,
        jax.process_index(),
        jax.process_count(),
    )
    batches = FeatureBatches(
        order=order,
        labels=experiment.data.train.labels,
        features=train,
        readable=readable,
        validation_features=validation,
        validation_readable=validation_readable,
        skipped=experiment.batches.skipped,
    )
    return dataclasses.replace(experiment, batches=batches, on_features=True)

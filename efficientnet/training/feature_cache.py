"""A cache of features for stages that train only the classifier: the backbone runs once."""

import dataclasses
import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

import input_pipeline
from efficientnet.runtime import devices
from efficientnet.training import steps
from efficientnet.training.losses import BatchMetrics
from efficientnet.training.setup import Experiment
from input_pipeline.order import Order

log = logging.getLogger(__name__)


class Features(NamedTuple):
    """The features of the photos of a split."""

    values: np.ndarray  # float32 [copies, photos, features], zeros for unreadable photos
    readable: np.ndarray  # bool [photos], where every copy is


@dataclasses.dataclass(frozen=True)
class FeatureBatches:
    """An `input_pipeline.BatchSource` with features in place of images.

    The order is that of the photos; epoch e uses copy e modulo copies.
    """

    order: Order  # of the training photos
    labels: np.ndarray  # int32 [photos]
    trained: Features
    validated: Features
    skipped: list[str]
    refused: list[str] = dataclasses.field(default_factory=list)

    def train(self, start_step: int, num_steps: int) -> Iterator[input_pipeline.Batch]:
        """See `BatchSource`."""
        numbers = range(start_step, start_step + num_steps)
        return _batches(self.trained, self.labels, self.order, numbers)

    def evaluate(self, split: input_pipeline.Split) -> Iterator[input_pipeline.Batch]:
        """See `BatchSource`; works only for the validation photos."""
        assert len(split) == len(self.validated.readable)
        order = dataclasses.replace(self.order, total=len(split), seed=None)
        return _batches(self.validated, split.labels, order, order.steps)


def _batches(
    features: Features, labels: np.ndarray, order: Order, numbers: range
) -> Iterator[input_pipeline.Batch]:
    for rows in map(order.batch, numbers):
        yield {
            "image": features.values[rows.epoch % len(features.values), rows.index],
            "label": labels[rows.index],
            "index": rows.index,
            "mask": rows.mask & features.readable[rows.index],
        }


def cached(experiment: Experiment, variables: Mapping[str, Any], copies: int) -> Experiment:
    """Returns the experiment with features in place of images, computed by its network.

    They are not saved; a resumed run computes them again.

    Args:
      experiment: with the photos; its stages must not train the backbone.
      variables: of the network, already on the devices.
      copies: number of augmented copies of each training photo.
    """
    program = steps.eval_program(experiment)
    nothing = devices.place(BatchMetrics.empty(), experiment.mesh)
    # So that each process has those of the whole batch.
    whole = devices.jit(lambda *parts: parts, experiment.mesh)

    def collected(batches: Iterable[steps.Batch], copies: int, photos: int) -> Features:
        # Zeros for unreadable photos, because the mask can only exclude finite losses.
        values = np.zeros((copies, photos, experiment.variant.top_filters), np.float32)
        readable = np.ones(photos, bool)
        position = 0
        for batch in batches:
            computed = program(variables, nothing, batch).features
            features, index, mask = map(
                np.asarray, (computed, *whole(batch["index"], batch["mask"]))
            )
            copy = np.arange(position, position + len(index)) // photos
            position += len(index)
            there = copy < copies  # not what fills up the last batch
            readable[index[there & ~mask]] = False
            wanted = there & mask
            values[copy[wanted], index[wanted]] = features[wanted]
        return Features(values, readable)

    config, data = experiment.config, experiment.data
    images = copies * len(data.train)
    total = images + len(data.validation)
    size = 4 * total * experiment.variant.top_filters
    log.info("computing the features of %d images, %.0f MB", total, size / 2**20)
    num_steps = math.ceil(images / config.batch_size)
    trained = collected(experiment.train_batches(0, num_steps), copies, len(data.train))
    validated = collected(experiment.eval_batches(data.validation), 1, len(data.validation))
    process = jax.process_index(), jax.process_count()
    batches = FeatureBatches(
        order=Order(len(data.train), config.batch_size, config.seed, *process),
        labels=data.train.labels,
        trained=trained,
        validated=validated,
        skipped=experiment.batches.skipped,
    )
    return dataclasses.replace(experiment, batches=batches, on_features=True)

"""Head-only stages on features that the frozen backbone computes once."""

import dataclasses
import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import input_pipeline
from efficientnet.config import StageConfig
from efficientnet.network.model import EfficientNet
from efficientnet.network.normalize import normalize
from efficientnet.runtime import devices
from efficientnet.runtime.compiler_options import compiler_options
from efficientnet.training import steps
from efficientnet.training.setup import Experiment
from input_pipeline.order import train_rows

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class CachedExperiment(Experiment):
    """An experiment whose photos are features, and whose network is the classifier alone.

    Order is a function of (seed, epoch), as the pipeline's is; epoch e takes copy e modulo copies.
    """

    train_features: np.ndarray = dataclasses.field(kw_only=True)  # [copies, photos, features]
    readable: np.ndarray = dataclasses.field(kw_only=True)  # bool [photos], of the training
    validation_features: np.ndarray = dataclasses.field(kw_only=True)  # [photos, features]

    @property
    def example(self) -> jax.ShapeDtypeStruct:
        """See `Experiment`."""
        return jax.ShapeDtypeStruct((self.variant.top_filters,), np.float32)

    def model(self, stage: StageConfig) -> EfficientNet:
        """See `Experiment`."""
        return super().model(stage).clone(classifier_only=True)

    def train_batches(self, start_step: int, num_steps: int) -> Iterator[dict[str, np.ndarray]]:
        """See `Experiment`."""
        config = self.config
        rows_of = train_rows(len(self.data.train), config.batch_size, config.seed, 0, 1)
        for rows in map(rows_of, range(start_step, start_step + num_steps)):
            index = rows.index
            features = self.train_features[rows.epoch % len(self.train_features), index]
            yield _own_part(features, self.data.train.labels, index, self.readable[index])

    def eval_batches(self, split: input_pipeline.Split) -> Iterator[dict[str, np.ndarray]]:
        """See `Experiment`; only the validation photos have features."""
        assert split is self.data.validation
        size, total = self.config.batch_size, len(split)
        for first in range(0, total, size):
            positions = np.arange(first, first + size)
            index = np.minimum(positions, total - 1)
            yield _own_part(self.validation_features[index], split.labels, index, positions < total)


def cached(experiment: Experiment, variables: Mapping[str, Any], copies: int) -> CachedExperiment:
    """Computes the features of `copies` augmented copies of each photo, and of the validation's.

    They are not saved: a run that resumes computes them again.

    Args:
      experiment: whose photos to take; its stages' backbones must not train.
      variables: of the network, already on the devices.
      copies: of each training photo.
    """
    model = experiment.model(experiment.config.stages[0]).clone(features_only=True)

    def features_of(variables: Mapping[str, Any], batch: steps.Batch) -> tuple[jax.Array, ...]:
        images = normalize(batch["image"], experiment.mean, experiment.std)
        return jnp.asarray(model.apply(variables, images)), batch["index"], batch["mask"]

    compute = jax.jit(
        features_of,
        out_shardings=devices.replicated(experiment.mesh),
        compiler_options=compiler_options(experiment.mesh),
    )

    def rows(batches: Iterable[dict[str, np.ndarray]]) -> Iterator[tuple[np.ndarray, ...]]:
        for batch in devices.to_devices(batches, experiment.mesh):
            yield tuple(np.asarray(x) for x in compute(variables, batch))

    width, total = experiment.variant.top_filters, len(experiment.data.train)
    # Zeros for photos that can't be read: a mask leaves out of a loss only what is finite.
    train = np.zeros((copies, total, width), np.float32)
    validation = np.zeros((len(experiment.data.validation), width), np.float32)
    log.info(
        "computing the features of %d photos, %.0f MB",
        copies * total + len(validation),
        (train.nbytes + validation.nbytes) / 2**20,
    )
    position = 0
    num_steps = math.ceil(copies * total / experiment.config.batch_size)
    # Only photos of which every copy could be read.
    readable = np.ones(total, bool)
    for features, index, mask in rows(experiment.train_batches(0, num_steps)):
        copy = np.arange(position, position + len(index)) // total
        wanted = (copy < copies) & mask
        readable[index[(copy < copies) & ~mask]] = False
        train[copy[wanted], index[wanted]] = features[wanted]
        position += len(index)
    for features, index, mask in rows(experiment.eval_batches(experiment.data.validation)):
        validation[index[mask]] = features[mask]
    return with_features(experiment, train, readable, validation)


def with_features(
    experiment: Experiment, train: np.ndarray, readable: np.ndarray, validation: np.ndarray
) -> CachedExperiment:
    """Returns the experiment on features in place of photos, see `CachedExperiment`."""
    return experiment.as_kind(
        CachedExperiment,
        mean=np.zeros(1, np.float32),
        std=np.ones(1, np.float32),
        train_features=train,
        readable=readable,
        validation_features=validation,
    )


def _own_part(
    features: np.ndarray, labels: np.ndarray, index: np.ndarray, mask: np.ndarray
) -> dict[str, np.ndarray]:
    """This process's part of a global batch, as the pipeline gives it."""
    batch = {"image": features, "label": labels[index], "index": index, "mask": mask}
    local = len(index) // jax.process_count()
    first = jax.process_index() * local
    return {name: value[first : first + local] for name, value in batch.items()}

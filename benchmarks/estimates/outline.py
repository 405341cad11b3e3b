"""An experiment without photos, weights and devices; compiling needs only shapes."""

import dataclasses
import logging
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

import input_pipeline
from efficientnet import weights
from efficientnet.config import RunConfig
from efficientnet.errors import UserError
from efficientnet.network.model import EfficientNet, init_variables
from efficientnet.network.variants import get_variant
from efficientnet.runtime import devices
from efficientnet.training import losses, setup, steps
from efficientnet.training.setup import Data, Experiment
from efficientnet.weights.download import ARCHIVES

log = logging.getLogger(__name__)


def data_of(config: RunConfig, classes: int | None, photos: int | None) -> Data:
    """Returns the config's data or, if `classes` is given, a stand-in without photos.

    Args:
      config: of the run.
      classes: number of classes; None takes those of the config's source.
      photos: number of training photos; None takes those of the source, or 0 if unknown.

    Raises:
      UserError: the source can't be read.
    """
    if classes is None:
        try:
            found = setup.load_data(config)
        except UserError as error:
            raise UserError(
                f"{str(error).rstrip('.')}; to estimate without the data, give --classes=N and, "
                "for the hours, --photos=N"
            ) from error
        if photos is None:
            return found
        return dataclasses.replace(found, train=_unread(photos))
    held_out = 0
    if photos and config.data.validation_split in ("", "auto"):
        fraction = config.data.validation_fraction
        held_out = round(photos * fraction / (1 - fraction))
    names = tuple(f"class {number}" for number in range(classes))
    return Data(names, _unread(photos or 0), _unread(held_out), _unread(0))


def outline(config: RunConfig, mesh: Mesh, data: Data) -> Experiment:
    """Returns an experiment whose variables are shapes.

    The conventions of published weights are known without downloading them; other files are read.
    """
    variant = get_variant(config.variant)
    padding, bn_epsilon = variant.padding, variant.bn_epsilon
    if config.weights and config.weights not in ARCHIVES:
        pretrained = weights.load_pretrained(config.weights, config.variant)
        padding, bn_epsilon = pretrained.padding, pretrained.bn_epsilon
    model = EfficientNet(variant, len(data.class_names), head_batch_norm=config.head_batch_norm)
    variables = jax.eval_shape(
        lambda: init_variables(model, jax.random.key(config.seed), config.channels)
    )
    return Experiment(
        config=config,
        mesh=mesh,
        data=data,
        batches=setup.make_loader(config, data.train, config.resolution or variant.resolution),
        variant=variant,
        padding=padding,
        bn_epsilon=bn_epsilon,
        mean=np.full(config.channels, 127.5, np.float32),  # the values don't change the program
        std=np.full(config.channels, 63.75, np.float32),
        variables=variables,
    )


def train_step(experiment: Experiment, number: int) -> tuple[Any, tuple[Any, ...]]:
    """Returns the jitted training step of a stage, and the shapes of its arguments."""
    stage = experiment.config.stages[number]
    if stage.cached_copies:
        experiment = dataclasses.replace(experiment, on_features=True)
    optimizer = steps.optimizer_of(experiment, stage)
    state = jax.eval_shape(
        lambda variables: steps.initial_state(variables, stage, optimizer), experiment.variables
    )
    batch = _batch(experiment, experiment.config.batch_size)
    program = steps.train_program(experiment, stage, number)
    return program, (_placed(state, devices.replicated(experiment.mesh)), batch, 1.0)


def eval_step(experiment: Experiment) -> tuple[Any, tuple[Any, ...]]:
    """Returns the jitted evaluation step, and the shapes of its arguments."""
    program = steps.eval_program(experiment)
    kept = devices.replicated(experiment.mesh)
    variables = _placed(experiment.variables, kept)
    counted = _placed(jax.eval_shape(losses.BatchMetrics.empty), kept)
    return program, (variables, counted, _batch(experiment, experiment.config.batch_size))


def _batch(experiment: Experiment, size: int) -> dict[str, jax.ShapeDtypeStruct]:
    """The shapes of a batch from the input pipeline, or of cached features."""
    side, channels = experiment.resolution, experiment.config.channels
    image = jax.ShapeDtypeStruct((size, side, side, channels), np.uint8)
    if experiment.on_features:
        image = jax.ShapeDtypeStruct((size, experiment.variant.top_filters), np.float32)
    batch = {
        "image": image,
        "label": jax.ShapeDtypeStruct((size,), np.int32),
        "mask": jax.ShapeDtypeStruct((size,), np.bool_),
    }
    return _placed(batch, devices.by_example(experiment.mesh))


def _placed(tree: Any, sharding: jax.sharding.Sharding) -> Any:
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree
    )


def _unread(photos: int) -> input_pipeline.Split:
    def read(index: Any) -> Any:
        raise AssertionError("a stand-in for data has no photos to read")

    return input_pipeline.Split(np.zeros(photos, np.int32), ("",) * photos, read)

"""Counting a whole split, every example once."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

import input_pipeline
from efficientnet.model import EfficientNet
from efficientnet.training import feed, metrics, steps
from efficientnet.training.experiment import Experiment


def evaluate(
    experiment: Experiment,
    model: EfficientNet,
    variables: Mapping[str, Any],
    split: input_pipeline.Split,
) -> tuple[dict[str, float], np.ndarray]:
    """Evaluates variables, already on the devices, on a split.

    Returns:
      loss (nats) and top1, top3, top5 (fractions); and the confusion matrix, int32
      [true class, predicted class].
    """
    eval_step = jax.jit(steps.make_eval_step(model, mean=experiment.mean, std=experiment.std))
    counted = metrics.eval_metrics(model.num_classes).empty()
    counted = jax.device_put(counted, feed.replicated(experiment.mesh))
    for batch in feed.to_devices(experiment.eval_batches(split), experiment.mesh):
        counted = eval_step(variables, counted, batch)
    values = {name: np.asarray(value) for name, value in counted.compute().items()}
    confusion = values.pop("confusion")
    return {name: float(value) for name, value in values.items()}, confusion

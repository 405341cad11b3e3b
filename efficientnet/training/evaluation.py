"""Counting a whole split, every example once."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

import input_pipeline
from efficientnet.training import feed, programs
from efficientnet.training.experiment import Experiment
from efficientnet.training.signals import Stop


class Interrupted(Exception):  # noqa: N818 (no error)
    """The run was asked to stop in the middle of an evaluation."""


class Evaluator:
    """Evaluates variables of an experiment's network; compiles once for the whole run."""

    def __init__(self, experiment: Experiment, stop: Stop | None = None) -> None:
        self._experiment = experiment
        # Processes that each stopped here when it heard of it would wait for each other.
        self._stop = stop if jax.process_count() == 1 else None
        self._step, self._metrics = programs.eval_program(experiment)

    def __call__(
        self, variables: Mapping[str, Any], split: input_pipeline.Split
    ) -> tuple[dict[str, float], np.ndarray]:
        """Evaluates variables, already on the devices, on a split.

        Returns:
          loss (nats) and top1, top3, top5 (fractions); and the confusion matrix, int32
          [true class, predicted class].

        Raises:
          Interrupted: the run was asked to stop, and is the only process.
        """
        mesh = self._experiment.mesh
        counted = jax.device_put(self._metrics.empty(), feed.replicated(mesh))
        for batch in feed.to_devices(self._experiment.eval_batches(split), mesh):
            if self._stop and self._stop.requested:
                raise Interrupted
            counted = self._step(variables, counted, batch)
        values = {name: np.asarray(value) for name, value in counted.compute().items()}
        confusion = values.pop("confusion")
        return {name: float(value) for name, value in values.items()}, confusion

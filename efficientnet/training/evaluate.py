"""Evaluating a whole split, every example once, and testing a stage when it ends."""

import collections
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np
from clu import metric_writers
from etils import epath
from jax.sharding import Mesh

import input_pipeline
from efficientnet.reporting import plots, predictions, scores, thumbnails
from efficientnet.runtime import devices
from efficientnet.runtime.distributed import leads
from efficientnet.runtime.preemption import Stop
from efficientnet.training import steps
from efficientnet.training.losses import BatchMetrics
from efficientnet.training.setup import Experiment

# Batches in flight while the host fetches the logits of earlier ones.
IN_FLIGHT = 2


class Interrupted(Exception):  # noqa: N818 (no error)
    """The run is to stop in the middle of an evaluation."""


class Evaluator:
    """Evaluates a network's variables on splits; compiles only once."""

    def __init__(
        self,
        program: Callable[..., steps.Evaluated],
        mesh: Mesh,
        batches: Callable[[input_pipeline.Split], Iterable[Mapping[str, jax.Array]]],
        stop: Stop | None = None,
    ) -> None:
        """Prepares the evaluation.

        Args:
          program: the evaluation step, see `steps.make_eval_step`.
          mesh: the devices.
          batches: returns the batches of a split, sharded over the devices: every example once and
            in order, the last batch padded.
          stop: requests an end before the whole split is evaluated.
        """
        self._step, self._mesh, self._batches = program, mesh, batches
        # Several processes may not stop at the same batch, and would wait for each other.
        self._stop = stop if jax.process_count() == 1 else None

    def __call__(
        self,
        variables: Mapping[str, Any],
        split: input_pipeline.Split,
        done: Callable[[int], object] = lambda photos: None,
    ) -> tuple[dict[str, float], np.ndarray]:
        """Evaluates variables, already on the devices, on a split.

        Args:
          variables: of the network.
          split: what to evaluate on.
          done: called with the number of images of every batch.

        Returns:
          The metrics that are means over examples, by name, and the logits, float32 [n, classes],
          in the order of the split; -inf for photos that can't be read.

        Raises:
          Interrupted: the run is to stop, and this is the only process.
        """
        counted = devices.place(BatchMetrics.empty(), self._mesh)
        computed: collections.deque[jax.Array] = collections.deque()
        fetched: list[np.ndarray] = []
        left = len(split)

        def fetch() -> None:
            nonlocal left
            # The slice cuts off the padding of the last batch.
            fetched.append(np.asarray(computed.popleft(), np.float32)[:left])
            left -= len(fetched[-1])
            done(len(fetched[-1]))

        for batch in self._batches(split):
            if self._stop and self._stop.requested:
                raise Interrupted
            counted, logits, _ = self._step(variables, counted, batch)
            computed.append(logits)
            if len(computed) > IN_FLIGHT:
                fetch()
        while computed:
            fetch()
        values = {name: float(value) for name, value in counted.compute().items()}
        return values, np.concatenate(fetched)


def for_experiment(experiment: Experiment, stop: Stop | None = None) -> Evaluator:
    """Returns the evaluator of an experiment's network, used by every stage."""
    program = steps.eval_program(experiment)
    return Evaluator(program, experiment.mesh, experiment.eval_batches, stop)


SHOWN_PHOTOS = 24


def test_stage(
    experiment: Experiment,
    evaluator: Evaluator,
    variables: Mapping[str, Any],
    path: epath.Path,
    writer: metric_writers.MetricWriter,
    step: int,
) -> dict[str, float]:
    """Tests variables, already on the devices, and returns the metrics of `scores.summary`.

    Args:
      experiment: with the test photos.
      evaluator: of its network.
      variables: to test.
      path: of the file for the predictions.
      writer: gets the metrics, the confusion matrix and the worst photos.
      step: position on the time axis.
    """
    data = experiment.data
    counted, logits = evaluator(variables, data.test)
    found = predictions.from_logits(logits, data.test.labels, data.test.names, data.class_names)
    values = scores.summary(found) | counted
    writer.write_scalars(step, {f"test/{name}": value for name, value in values.items()})
    if leads():
        predictions.save(path, found)
        counts = scores.confusion(found)
        pictures = {
            "test/confusion_matrix": plots.pixels(plots.confusion_matrix(counts, data.class_names))
        }
        worst = scores.worst_photos(found, SHOWN_PHOTOS)
        if len(worst):
            names = [found.names[index] for index in worst]
            pixels = thumbnails.read(data.test, names, experiment.config)
            pictures["test/worst_photos"] = plots.pixels(plots.photo_grid(found, worst, pixels))
        writer.write_images(step, pictures)
    return values

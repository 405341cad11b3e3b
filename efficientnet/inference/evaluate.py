"""Evaluating a network on a split, with every photo counted once."""

import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence

import jax
import numpy as np

import input_pipeline
from efficientnet.errors import UserError
from efficientnet.inference.network import Network, TrainedNetwork
from efficientnet.inference.predict import BATCH_SIZE, photo_loader
from efficientnet.metrics import METRICS, Metric
from efficientnet.reporting import predictions, scores
from efficientnet.reporting.predictions import Predictions
from efficientnet.reporting.tables import aligned
from efficientnet.runtime import devices
from efficientnet.runtime.progress_bar import progress_bar
from efficientnet.training import setup, steps
from efficientnet.training.evaluate import Evaluator
from efficientnet.training.workdir import class_change

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The results of a network on a split; printed, they are a table.

    Attributes:
      metrics: by name, see `efficientnet.metrics`.
      predictions: for every readable photo, once and in order.
    """

    metrics: dict[str, float]
    predictions: Predictions = dataclasses.field(repr=False)

    def table(self, rows: Mapping[str, Metric] = METRICS) -> str:
        """Returns the metrics as an aligned table, one line each."""
        cells = [(name, rows[name].exact(value)) for name, value in self.metrics.items()]
        return aligned(("metric", "value"), cells)

    __str__ = __repr__ = table


def evaluate(
    network: Network,
    split: input_pipeline.Split,
    class_names: Sequence[str],
    rows: Mapping[str, Metric] = METRICS,
    *,
    batch_size: int = BATCH_SIZE,
    flip: bool = False,
    broken_limit: int = 0,
) -> Evaluation:
    """Evaluates a network on all devices, and shows its progress.

    Args:
      network: what to evaluate.
      split: on which photos.
      class_names: of its labels, in order.
      rows: the metrics.
      batch_size: images per step, over all devices.
      flip: average over each photo and its mirror image.
      broken_limit: how many unreadable photos may be left out.

    Raises:
      UserError: one photo too many can't be read.
    """
    counted, logits = run_on(network, split, batch_size, flip, broken_limit)
    found = predictions.from_logits(logits, split.labels, split.names, class_names)
    values = scores.summary(found, rows)
    # From logits, as in training: probabilities are rounded, and at least 1e-38.
    values |= {name: counted[name] for name in values.keys() & counted.keys()}
    return Evaluation(values, found)


def run_on(
    network: Network,
    split: input_pipeline.Split,
    batch_size: int,
    flip: bool,
    broken_limit: int = 0,
) -> tuple[dict[str, float], np.ndarray]:
    """Returns what `Evaluator` returns for the split, and shows its progress."""
    mesh = devices.data_mesh()
    mean, std = (
        np.asarray(values, np.float32)
        for values in (network.preprocessing.mean, network.preprocessing.std)
    )
    program = steps.make_eval_step(network.module, mesh, mean=mean, std=std, flip=flip)
    loader = photo_loader(network, split, batch_size, broken_limit)

    def batches(split: input_pipeline.Split) -> Iterator[dict[str, jax.Array]]:
        return devices.to_devices(loader.evaluate(split), mesh)

    variables = devices.place(network.variables, mesh)
    with progress_bar("evaluating", len(split)) as line:
        return Evaluator(program, mesh, batches)(variables, split, line.update)


def data_of(run: TrainedNetwork, directory: str | None = None) -> setup.Data:
    """Opens the photos of a run, and warns if they have changed since it began.

    Args:
      run: the network of a run.
      directory: where the photos are, if they have moved.

    Raises:
      UserError: they can't be found, or have other classes.
    """
    settings = run.config.data
    settings = dataclasses.replace(settings, directory=directory or settings.directory)
    config = dataclasses.replace(run.config, data=settings)
    data, changes = setup.data_of_run(config, run.folder)
    check_classes(run, settings.source, data.class_names)
    if changes:
        log.warning(
            "the data have changed since the run began (%s): photos that it has trained on may now "
            "be among those that it is evaluated on",
            "; ".join(changes),
        )
    return data


def check_classes(network: Network, data: str, found: Sequence[str]) -> None:
    """Raises a `UserError` if the labels of the data mean other classes than the network's."""
    known = network.class_names
    # The names of pretrained weights may be spelled differently; equal names must be in order.
    if not isinstance(network, TrainedNetwork) and sorted(known) != sorted(found):
        return
    change = class_change(known, found)
    if change:
        raise UserError(
            f"the data {data!r} has other classes than the network, or in another order "
            f"({change}): use data with the network's classes"
        )

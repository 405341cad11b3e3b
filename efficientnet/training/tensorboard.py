"""TensorBoard files of a run, without gaps or repeated points after a restart, and profiles."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from clu import metric_writers
from etils import epath
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util import tensor_util

from efficientnet.config import RunConfig
from efficientnet.network import freeze_groups
from efficientnet.runtime.distributed import leads
from efficientnet.training.trackers.tracker import Point

# `weights` has the histograms of the parameters that train.
FOLDERS = ("train", "validation", "validation_ema", "weights", "test")
# What is written only when an epoch is validated.
VALIDATED = ("validation", "validation_ema", "weights")


class TensorBoardWriter(metric_writers.MetricWriter):
    """Writes a folder for each split, so that TensorBoard draws their curves in one chart.

    Names begin with that of the folder, such as 'train/loss'. The parent folder has the run's
    hyperparameters, which TensorBoard lists with the metrics.

    Writing is asynchronous; scalars may be arrays that are still being computed.
    """

    def __init__(self, folder: epath.Path, step: int, validated: bool = True) -> None:
        """Continues the curves from a checkpoint at `step`, 0 for a new run.

        Only the first process writes. If the epoch that ends at `step` was not `validated` in the
        checkpoint, it will be validated again, so later points at `step` are dropped too.
        """
        self._folder = folder
        self._writers: dict[str, metric_writers.MetricWriter] = {}
        if not leads():
            return
        for name in FOLDERS:
            # A stage is tested after its last checkpoint, so it will be tested again.
            again = name == "test" or (name in VALIDATED and not validated)
            _forget(folder / name, step if again else step + 1)
        self._writers = {
            name: metric_writers.AsyncWriter(metric_writers.SummaryWriter(str(folder / name)))
            for name in FOLDERS
        }

    def _by_folder(
        self, values: Mapping[str, Any]
    ) -> Iterator[tuple[metric_writers.MetricWriter, dict[str, Any]]]:
        """Yields the writer of each folder, with the values that are for it."""
        for folder, writer in self._writers.items():
            start = f"{folder}/"
            own = {
                name.removeprefix(start): value
                for name, value in values.items()
                if name.startswith(start)
            }
            if own:
                yield writer, own

    def write_scalars(self, step: int, scalars: Mapping[str, Any]) -> None:
        """Adds a point to each named curve."""
        for writer, own in self._by_folder(scalars):
            writer.write_scalars(step, own)

    def write_images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
        """Writes one uint8 image [H, W, C] or several [N, H, W, C], by name."""
        for writer, own in self._by_folder(images):
            writer.write_images(step, own)

    def write_histograms(
        self,
        step: int,
        arrays: Mapping[str, np.ndarray],
        num_buckets: Mapping[str, int] | None = None,
    ) -> None:
        """Writes a histogram of each named array."""
        for writer, own in self._by_folder(arrays):
            writer.write_histograms(step, own)

    def write_hparams(self, hparams: Mapping[str, Any]) -> None:
        """Writes fields of the config for the list of hyperparameters, replacing earlier ones."""
        if self._writers:
            for path in self._folder.glob("*.tfevents.*"):
                path.unlink()
            writer = metric_writers.SummaryWriter(str(self._folder))
            writer.write_hparams(hparams)
            writer.close()

    def flush(self) -> None:
        """Waits until everything is written; called before each checkpoint."""
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        """Waits until everything is written, and ends."""
        for writer in self._writers.values():
            writer.close()

    def points(self) -> Iterator[Point]:
        """Yields the points of all curves up to the checkpoint, to send to trackers."""
        for name in self._writers:
            for path in sorted((self._folder / name).glob("*.tfevents.*")):
                for event in map(Event.FromString, RawEventFileLoader(str(path)).Load()):
                    for value in event.summary.value:
                        if value.metadata.plugin_data.plugin_name == "scalars":
                            number = tensor_util.make_ndarray(value.tensor)
                            yield Point(event.step, f"{name}/{value.tag}", number, event.wall_time)

    def _ignore(self, *_: object, **__: object) -> None:
        """Does nothing: a run has none of these."""

    write_summaries = write_videos = write_audios = write_texts = _ignore


def parameter_histograms(trained: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Returns the values of all parameters of each freeze group, by name.

    Args:
      trained: parameters by layer.
    """
    groups: dict[str, list[np.ndarray]] = {}
    for layer, leaves in trained.items():
        values = [np.ravel(leaf) for leaf in jax.tree.leaves(leaves)]
        groups.setdefault(freeze_groups.group_of(layer), []).extend(values)
    return {
        f"weights/parameters/{group}": np.concatenate(values) for group, values in groups.items()
    }


def _forget(folder: epath.Path, step: int) -> None:
    """Drops the points from `step` on, which a killed run wrote after its last checkpoint."""
    if not folder.exists():
        return
    for path in folder.iterdir():
        if ".tfevents." not in path.name:
            continue
        records = list(RawEventFileLoader(str(path)).Load())
        kept = [record for record in records if Event.FromString(record).step < step]
        if len(kept) == len(records):
            continue
        if not kept:  # TensorFlow creates no empty files in a bucket
            path.unlink()
            continue
        part = path.with_name(f".{path.name}.part")
        with part.open("wb") as file:
            writer = RecordWriter(file)
            for record in kept:
                writer.write(record)
        part.replace(path)


log = logging.getLogger(__name__)


class Profiler:
    """Traces the steps after FROM up to TO, counted over all stages."""

    def __init__(self, config: RunConfig, folder: epath.Path) -> None:
        self._steps = config.steps_to_profile
        self._folder = folder
        self._running = False

    def step_done(self, step: int, outputs: jax.Array) -> None:
        """Starts or ends the trace when it is due; waits for the step's outputs only then."""
        if self._steps is None:
            return
        first, last = self._steps
        if step == first:
            jax.block_until_ready(outputs)
            start(self._folder)
            self._running = True
        elif step == last and self._running:
            jax.block_until_ready(outputs)
            self.close()
            log.info(
                "profile of steps %d to %d: tensorboard --logdir %s", first, last, self._folder
            )

    def close(self) -> None:
        """Ends a trace that is still running."""
        if self._running:
            self._running = False
            jax.profiler.stop_trace()


def start(folder: epath.Path) -> None:
    """Starts a trace below a folder, without the calls of the Python interpreter."""
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0
    jax.profiler.start_trace(str(folder), profiler_options=options)

"""The TensorBoard files of a run, which go on after a restart without gaps or doubled points."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from clu import metric_writers
from etils import epath
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter

from efficientnet.training.distributed import leads

SPLITS = ("train", "validation", "validation_ema", "test")


class Curves:
    """Writes a folder a split, so that TensorBoard draws their curves into one chart.

    Writing is asynchronous: scalars may be arrays that are still being computed.
    """

    def __init__(self, folder: epath.Path, step: int, validated: bool = True) -> None:
        """Continues the curves from a checkpoint at `step`, 0 for a new run.

        Of several processes, the first writes. A checkpoint at the end of an epoch that is not
        `validated` will be, though it may have been after it was saved.
        """
        self._writers: dict[str, metric_writers.MetricWriter] = {}
        if not leads():
            return
        for split in SPLITS:
            # A stage is tested after its last checkpoint, and so will be again.
            again = split == "test" or (split.startswith("validation") and not validated)
            _forget(folder / split, step if again else step + 1)
        self._writers = {
            split: metric_writers.AsyncWriter(metric_writers.SummaryWriter(str(folder / split)))
            for split in SPLITS
        }

    def write(self, split: str, step: int, scalars: Mapping[str, Any]) -> None:
        """Adds a point to each named curve of a split."""
        if self._writers:
            self._writers[split].write_scalars(step, scalars)

    def write_photos(self, step: int, photos: np.ndarray) -> None:
        """Shows uint8 photos [N, H, W, C] as the network sees them at a step."""
        if self._writers:
            self._writers["train"].write_images(step, {"photos": photos})

    def flush(self) -> None:
        """Waits until everything is written; due before each checkpoint."""
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        """Waits until everything is written, and ends."""
        for writer in self._writers.values():
            writer.close()


def read(folder: epath.Path) -> dict[str, list[tuple[int, bytes]]]:
    """Returns the points of all curves and pictures, (step, encoded value), by split and name."""
    points: dict[str, list[tuple[int, bytes]]] = {}
    for split in SPLITS:
        for path in sorted((folder / split).glob("*.tfevents.*")):
            for record in RawEventFileLoader(str(path)).Load():
                event = Event.FromString(record)
                for value in event.summary.value:
                    content = value.tensor.SerializeToString(deterministic=True)
                    points.setdefault(f"{split}/{value.tag}", []).append((event.step, content))
    return {name: sorted(found) for name, found in points.items()}


def _forget(folder: epath.Path, step: int) -> None:
    """Drops the points at `step` and after, which a killed run wrote after its checkpoint."""
    if not folder.exists():
        return
    for path in folder.iterdir():
        if ".tfevents." not in path.name:
            continue
        records = list(RawEventFileLoader(str(path)).Load())
        kept = [record for record in records if Event.FromString(record).step < step]
        if len(kept) == len(records):
            continue
        part = path.with_name(f".{path.name}.part")
        with part.open("wb") as file:
            writer = RecordWriter(file)
            for record in kept:
                writer.write(record)
        part.replace(path)

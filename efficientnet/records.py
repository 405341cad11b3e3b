"""What a run keeps in JSON files: dataclasses, with one reader and one writer.

The fields of a record are frozen. Their names are the keys in the file, unless a field's metadata
gives the key that earlier versions used.
"""

import contextlib
import dataclasses
import gzip
import json
import types
import typing
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from etils import epath

from efficientnet.errors import UserError
from efficientnet.paths import write_whole
from efficientnet.runtime.provenance import Provenance

RecordT = TypeVar("RecordT")
Values = dict[str, float]  # metrics by name, see `efficientnet.metrics`


KEY = "key"  # metadata: the key in files, where it is not the field's name
BAD_GZIP = (EOFError, gzip.BadGzipFile, zlib.error)
LEFT_OUT = "left out"  # metadata: files omit the field if it is None


@dataclasses.dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """A validated epoch.

    Attributes:
      stage: name of its stage.
      epoch: number in the stage, from 1.
      step: steps over all stages at its end.
      lr_scale: factor on the learning rate from plateaus.
      train: metrics of its training steps.
      validation: metrics of the weights.
      validation_ema: metrics of their moving average, if there is one.
      chosen: which of the two counts, by the name of its field.
      learning_rate: mean over its steps; None in what an earlier version wrote.
    """

    stage: str
    epoch: int
    step: int
    lr_scale: float = dataclasses.field(metadata={KEY: "rate_scale"})
    train: Values
    validation: Values
    validation_ema: Values | None = dataclasses.field(default=None, metadata={LEFT_OUT: True})
    chosen: str
    learning_rate: float | None = dataclasses.field(default=None, metadata={LEFT_OUT: True})

    @property
    def validated(self) -> Values:
        """The validation metrics that count."""
        return getattr(self, self.chosen)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ParameterCounts:
    """How many parameters a stage trains, and how many are frozen."""

    trainable: int
    frozen: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageMetrics:
    """The metrics of a stage's best weights."""

    test: Values
    validation: Values


@dataclasses.dataclass(frozen=True, kw_only=True)
class RangeTest:
    """A learning rate range test, see `efficientnet.training.range_test`.

    Attributes:
      rates: the learning rate of each step.
      losses: the loss of each step before its update.
      guessing: the loss of giving all classes the same probability.
      suggestion: the learning rate to train with.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    guessing: float
    suggestion: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageResult:
    """The result of a finished stage.

    Attributes:
      name: of the stage.
      epochs: number of epochs trained.
      best_epoch: the epoch of the best weights.
      weights: 'plain' or 'moving average'.
      steps: number of training steps.
      seconds: of wall clock, over all restarts, without the test.
      images_per_second: rate of its training steps.
      parameters: numbers of trainable and frozen ones.
      metrics: of the best weights.
      selected_on: the split that the best epoch was chosen on.
      range_test: that found the stage's learning rate; None if the recipe gives it.
    """

    name: str
    epochs: float
    best_epoch: int
    weights: str
    steps: int
    seconds: float
    images_per_second: float
    parameters: ParameterCounts
    metrics: StageMetrics
    selected_on: str
    range_test: RangeTest | None = dataclasses.field(default=None, metadata={LEFT_OUT: True})


@dataclasses.dataclass(frozen=True, kw_only=True)
class MonitorState:
    """The state of a stage's plateaus and early stopping."""

    best: float | None = None  # value of the last improvement
    epochs_without: int = 0  # since then
    epochs_at_rate: int = 0  # since then, or since the learning rate was lowered
    # Factor on the learning rate from all plateaus together.
    lr_scale: float = dataclasses.field(default=1.0, metadata={KEY: "rate_scale"})
    stopped: bool = False  # whether the stage has ended early


@dataclasses.dataclass(frozen=True, kw_only=True)
class Progress:
    """The progress of a run, part of a checkpoint; the arrays are in `steps.TrainState`."""

    stage: int = 0  # index of the current stage
    step: int = 0  # completed steps of the current stage
    steps_before: int = 0  # steps of the previous stages
    best: EpochRecord | None = None  # best epoch of the current stage
    history: tuple[EpochRecord, ...] = ()
    finished: tuple[StageResult, ...] = ()
    monitor: MonitorState = MonitorState()  # of the current stage
    skipped: int = 0  # steps of the current stage whose loss was not finite
    unreadable: tuple[str, ...] = ()  # names of skipped training photos
    seconds: float = 0.0  # wall clock time of the current stage, over all restarts
    timed_images: int = 0  # images trained on in `timed_seconds`
    timed_seconds: float = 0.0  # of training steps only, without compilation and evaluation
    # That found the current stage's learning rate.
    range_test: RangeTest | None = dataclasses.field(default=None, metadata={LEFT_OUT: True})

    @property
    def global_step(self) -> int:
        """Completed steps over all stages, the time axis of every curve."""
        return self.steps_before + self.step

    @property
    def images_per_second(self) -> float:
        """Rate of the current stage's training steps; 0.0 before two of them are timed."""
        return self.timed_images / self.timed_seconds if self.timed_images else 0.0

    @property
    def validated(self) -> bool:
        """Whether the epoch that ends with this step is already in the history."""
        return bool(self.history) and self.history[-1].step == self.global_step

    def next_stage(self, result: StageResult) -> "Progress":
        """Returns the progress at the start of the next stage, given the result of this one."""
        return Progress(
            stage=self.stage + 1,
            steps_before=self.global_step,
            history=self.history,
            finished=(*self.finished, result),
            unreadable=self.unreadable,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitSizes:
    """The number of images in each split."""

    train: int
    validation: int
    test: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunSummary:
    """The results of a finished run and its environment: `summary.json`."""

    status: str = "finished"
    stages: tuple[StageResult, ...]
    history: tuple[EpochRecord, ...]
    photos: SplitSizes
    classes: int
    devices: str
    processes: int
    versions: dict[str, str]  # of Python and packages
    # Names, if skipping is allowed.
    skipped_photos: tuple[str, ...] | None = dataclasses.field(
        default=None, metadata={LEFT_OUT: True}
    )
    # None for a run that an earlier version finished.
    provenance: Provenance | None = dataclasses.field(default=None, metadata={LEFT_OUT: True})


@dataclasses.dataclass(frozen=True, kw_only=True)
class FoldMean:
    """A metric over the folds of a cross-validation."""

    mean: float
    std: float  # standard deviation of the folds
    low: float  # ends of the 95 % interval of the mean, see `scores.fold_mean`
    high: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class CrossValidation:
    """The results of scripts/cross_validate.py: its `summary.json`."""

    folds: tuple[StageMetrics, ...]  # of the last stage; `validation` is on the fold itself
    validation: dict[str, FoldMean]
    test: dict[str, FoldMean]
    photos: int  # that a prediction was made for by a network that was not trained on them
    suspected_labels: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitIdentity:
    """The number of images in a split, and a digest of their names, labels and order."""

    photos: int
    digest: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitPhotos:
    """The photos of a split when the run began, with those that could not be read."""

    names: tuple[str, ...]
    labels: tuple[int, ...]
    left_out: tuple[int, ...] = ()  # which of them could not be read, in order


@dataclasses.dataclass(frozen=True, kw_only=True)
class PhotosRecord:
    """Which photos a run uses for what, to its end: `photos.json.gz`.

    Attributes:
      splits: all photos of each split.
      skipped: names of those that are left out, and of those that were skipped later.
      refused: names of those that ended the run, because they were one too many.
    """

    splits: dict[str, SplitPhotos]
    skipped: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkRecord:
    """What is needed to load a network besides the config, and its data: `network.json`."""

    class_names: tuple[str, ...]
    resolution: int  # pixels per side
    padding: str
    bn_epsilon: float
    mean: tuple[float, ...]  # per channel, of values from 0 to 255
    std: tuple[float, ...]
    data: dict[str, SplitIdentity] = dataclasses.field(default_factory=dict)  # by split


def to_json(record: Any) -> Any:
    """Returns a record, or anything made of records and JSON types, as JSON types."""
    if dataclasses.is_dataclass(record):
        values = [(field, getattr(record, field.name)) for field in dataclasses.fields(record)]
        return {
            _key(field): to_json(value)
            for field, value in values
            if value is not None or LEFT_OUT not in field.metadata
        }
    if isinstance(record, Mapping):
        return {key: to_json(value) for key, value in record.items()}
    return [to_json(item) for item in record] if isinstance(record, list | tuple) else record


def from_json(kind: type[RecordT], content: Any) -> RecordT:
    """Returns a record from the JSON types that `to_json` returned.

    Fields without a default must be present; unknown keys, of other versions, are ignored.

    Raises:
      ValueError or TypeError: the content is not such a record.
    """
    return _from_json(kind, content)


def _from_json(kind: Any, content: Any) -> Any:
    arguments = typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        _expect(content, dict)
        fields = [field for field in dataclasses.fields(kind) if _key(field) in content]
        values = {
            field.name: _from_json(hints[field.name], content[_key(field)]) for field in fields
        }
        return typing.cast(Any, kind)(**values)
    if isinstance(kind, types.UnionType):  # with None
        return None if content is None else _from_json(arguments[0], content)
    if typing.get_origin(kind) is tuple:
        return tuple(_from_json(arguments[0], item) for item in _expect(content, list))
    if typing.get_origin(kind) is dict:
        return {key: _from_json(arguments[1], item) for key, item in _expect(content, dict).items()}
    return _expect(content, float | int if kind is float else kind)


def _key(field: dataclasses.Field[Any]) -> str:
    return field.metadata.get(KEY, field.name)


def _expect(content: Any, kind: Any) -> Any:
    if not isinstance(content, kind):
        raise ValueError(f"{content!r:.40} in place of {getattr(kind, '__name__', 'a number')}")
    return content


@contextlib.contextmanager
def reading(path: epath.Path) -> Iterator[None]:
    """Turns errors in the content of a file into a `UserError` that names the file.

    Raises:
      UserError: the block raised a `ValueError`, or missed a key or attribute.
    """
    try:
        yield
    except UserError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError, *BAD_GZIP) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(
            f"{path} is damaged ({reason}): restore a copy, or train again in another --workdir"
        ) from error


def read_json(path: epath.Path) -> Any:
    """Reads a JSON file of a workdir; a damaged one is a `UserError`."""
    with reading(path):
        content = path.read_bytes()
        text = gzip.decompress(content) if path.suffix == ".gz" else content
        return json.loads(text)


def read(kind: type[RecordT], path: epath.Path) -> RecordT:
    """Reads a record from a file of a workdir; a damaged one is a `UserError`."""
    content = read_json(path)
    with reading(path):
        return from_json(kind, content)


def write(path: epath.Path, record: Any) -> None:
    """Writes a record or JSON types, compressed if the name ends in .gz.

    The file is never seen half-written.
    """
    text = (json.dumps(to_json(record), indent=2) + "\n").encode()
    write_whole(path, gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)

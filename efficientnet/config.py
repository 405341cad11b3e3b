"""Every field of a run, declared once: type, default, unit, range, and whether it may change later.

`RunConfig` is what a recipe of configs/ and its overrides come to. A config that exists is valid:
making one, with `dataclasses.replace` too, converts and checks every value, and one that can't be
is a `UserError` that names the field. Nothing is imported here that takes long.

To add a field, write it below and use it: recipes, flags and `config.json` have it then. Its
annotation says what it may be, a `Literal` of choices or a number in a `Range`. Fields that are
`MayChange` may be others when a run is resumed: they say what is seen and saved, how much of what
is broken is put up with, and where the data are, but not what is computed.
"""

import dataclasses
import json
import math
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from etils import epath

from efficientnet import metrics
from efficientnet.errors import UserError
from efficientnet.paths import is_in_bucket


@dataclasses.dataclass(frozen=True)
class Range:
    """The numbers that a field may be; of a field with several, each of them."""

    at_least: float = -math.inf
    more_than: float = -math.inf
    at_most: float = math.inf
    below: float = math.inf

    def __contains__(self, number: float) -> bool:
        return self.at_least <= number <= self.at_most and self.more_than < number < self.below

    def __str__(self) -> str:
        if math.isfinite(self.at_least) and math.isfinite(self.at_most):
            return f"from {self.at_least} to {self.at_most}"
        return ", ".join(
            f"{name.replace('_', ' ')} {'2**31' if bound == 2**31 else bound}"
            for name, bound in dataclasses.asdict(self).items()
            if math.isfinite(bound)
        )


@dataclasses.dataclass(frozen=True)
class Names:
    """The names that a field may be, where a table elsewhere has them as its keys."""

    table: Callable[[], Mapping[str, object]]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self.table()

    def __str__(self) -> str:
        return f"one of {', '.join(self.table())}"


Value = TypeVar("Value")
_MAY_CHANGE = "may change when a run is resumed"
MayChange = Annotated[Value, _MAY_CHANGE]

Count = Annotated[int, Range(at_least=0)]
PositiveCount = Annotated[int, Range(at_least=1)]
NotNegative = Annotated[float, Range(at_least=0)]
Positive = Annotated[float, Range(more_than=0)]
Share = Annotated[float, Range(at_least=0, below=1)]
Factor = Annotated[float, Range(more_than=0, at_most=1)]

Dtype = Literal["float32", "bfloat16"]
Normalization = Literal["weights", "imagenet", "training"]
Cache = Literal["", "memory", "disk"]
Optimizer = Literal["adamw", "adam", "sgd", "rmsprop", "lamb", "lion"]
Schedule = Literal["constant", "cosine", "exponential", "step"]
BatchNormPolicy = Literal["frozen", "statistics", "trained"]
StageStart = Literal["best", "last"]


@dataclasses.dataclass(frozen=True)
class Config:
    """Fields that are converted and checked as their annotations say."""

    def __post_init__(self) -> None:
        for field, hint in hints(type(self)).items():
            try:
                value = _converted(getattr(self, field), hint)
            except ValueError as error:
                raise self.wrong(field, str(error)) from None
            object.__setattr__(self, field, value)

    def wrong(self, field: str, expected: str) -> UserError:
        """Returns what to raise for a field with a value that can't be."""
        return UserError(f"config.{field} is {getattr(self, field)!r}: expected {expected}")

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Returns what `to_json` was called on; a field that is missing has its default.

        Raises:
          UserError: there is no such field, or a value can't be.
          TypeError: a field without a default is missing.
        """
        unknown = sorted(set(values) - set(hints(cls)))
        if unknown:
            raise UserError(f"there is no field {unknown[0]!r}, see efficientnet/config.py")
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """Returns the fields as `config.json` has them."""
        return dict(json.loads(json.dumps(dataclasses.asdict(self))))


@dataclasses.dataclass(frozen=True)
class DataConfig(Config):
    """Which photos, and how they are held."""

    source: str = ""  # a name known to input_pipeline/sources
    directory: MayChange[str] = ""  # where its files are, '' if it needs none; may move
    validation_split: str = ""  # a split of the source to validate on; '' holds one out
    validation_fraction: float = 0.1  # of the training photos of each class, held out
    # Photos that can't be read which training skips, in each process; one more stops it.
    broken_limit: MayChange[Count] = 0
    # Decoded training photos, each squeezed to a square: kept in 'memory' or on 'disk'; '' decodes
    # them anew each time.
    cache: Cache = ""
    cache_resolution: PositiveCount = 256  # pixels per side of the squares
    cache_directory: MayChange[str] = ""  # of 'disk'; '' takes photos/ in the user's cache folder

    def __post_init__(self) -> None:
        super().__post_init__()
        if is_in_bucket(epath.Path(self.cache_directory)):
            expected = "a folder of this machine, as the photos are mapped into memory from there"
            raise self.wrong("cache_directory", expected)

    def wrong(self, field: str, expected: str) -> UserError:
        """See `Config`."""
        return UserError(f"config.data.{field} is {getattr(self, field)!r}: expected {expected}")


@dataclasses.dataclass(frozen=True)
class StageConfig(Config):
    """What trains for some epochs, and how."""

    name: str  # what curves, checkpoints and the report call it
    train: str  # the freeze groups that train, such as 'predictions', 'block6-' or 'all'
    epochs: Positive  # passes over the training photos

    # Optimization.
    optimizer: Optimizer = "adamw"
    learning_rate: Positive = 1e-3  # peak, after the warm-up
    head_learning_rate: Positive | None = None  # the classifier's; None: the same
    layer_decay: Factor = 1.0  # factor on the rate per block from the classifier down; 1 for none
    momentum: NotNegative = 0.9  # of sgd and rmsprop
    nesterov: bool = True  # sgd looks ahead along its momentum
    weight_decay: NotNegative = 0.0  # of kernels; never of biases or BatchNorm
    clip_norm: NotNegative = 0.0  # global norm that gradients are scaled down to; 0 for none

    # The learning rate rises linearly from 0 in the warm-up; then it is 'constant', a 'cosine' to
    # 0, 'exponential', or a 'step', which falls at once where 'exponential' falls smoothly.
    schedule: Schedule = "cosine"
    warmup_epochs: NotNegative = 0.0  # epochs
    decay_rate: Positive = 0.97  # factor of 'exponential' and 'step' ...
    decay_epochs: Positive = 2.4  # ... over so many epochs, counted from the stage's beginning

    micro_batches: PositiveCount = 1  # gradient accumulation: parts of a batch, to save memory

    # Regularization.
    label_smoothing: Share = 0.1  # probability mass spread over all classes
    mixup: NotNegative = 0.0  # alpha of the Beta distribution of mixup's shares; 0 for none
    cutmix: NotNegative = 0.0  # the same of CutMix; with both on, each step takes one of them
    balance_classes: bool = False  # every class gets the same share of the training loss
    dropout: Share | None = None  # before the classifier; None: the variant's
    drop_connect: Share = 0.2  # stochastic depth: drop rate of the last block

    # A stage that trains the classifier alone can compute the features once, of so many augmented
    # copies of each photo, and take the copies in turns; 0 computes them anew in each step.
    cached_copies: Count = 0

    # BatchNorm of what trains: 'frozen', only its 'statistics', or wholly 'trained'.
    batch_norm: BatchNormPolicy = "frozen"

    # Moving averages of what trains, validated besides; the better of the two is handed over.
    ema_decay: Share = 0.0  # per step, such as 0.9999; 0 for none

    start: StageStart = "best"  # which weights of the stage before this one starts from

    # The validation metric that picks the stage's best weights, and that what follows watches at
    # each epoch's end.
    monitor: Annotated[str, Names(metrics.per_example)] = "top1"
    min_improvement: float = 1e-3  # change of the metric that counts, in its own unit
    plateau_patience: PositiveCount = 3  # epochs without improvement that lower the rate ...
    plateau_factor: Factor = 1.0  # ... by this factor; 1 never does
    plateau_floor: float = 0.0  # peak learning rate below which it is not lowered
    stop_patience: Count = 0  # epochs without improvement that end the stage; 0 never does

    def __post_init__(self) -> None:
        super().__post_init__()
        if not re.fullmatch(r"[\w+-][\w .+-]*", self.name):
            raise UserError(
                f"config.stages has the name {self.name!r}: expected letters, digits, spaces and "
                "_.+-, as it names files"
            )

    def wrong(self, field: str, expected: str) -> UserError:
        """See `Config`."""
        value = getattr(self, field)
        return UserError(f"stage {self.name!r} has {field} {value!r}: expected {expected}")


@dataclasses.dataclass(frozen=True)
class RunConfig(Config):
    """A whole run. Only the data's source and the stages have no default that means anything."""

    # Of the validation split, the order, the augmentation and the initialization.
    seed: Annotated[int, Range(at_least=0, below=2**31)] = 0

    # Network.
    variant: str = "b0"  # a row of efficientnet/network/variants.py
    weights: str = "noisy_student"  # a name or a path, see docs/weights.md; '' for none
    resolution: PositiveCount | None = None  # pixels per side; None takes the variant's own
    channels: Literal[1, 3] = 3  # 3 for color, 1 for gray
    dtype: Dtype = "float32"  # of activations; parameters are always float32

    # For the gradient, keep only what goes into each block and compute the rest again: a larger
    # batch or network fits, for about a third more computation.
    remat: bool = False
    # Each device's BatchNorm takes the statistics of its own photos, where a stage trains it, and
    # none waits for another: for large slices. Results then depend on the number of devices.
    batch_norm_per_device: bool = False
    head_batch_norm: bool = False  # a BatchNorm between the features and the classifier
    # The network sees (photo - mean) / std: those of the 'weights', of 'imagenet', or of the
    # 'training' photos, computed once. Or numbers, one a channel, on the scale 0..1.
    normalization: Normalization = "weights"
    mean: Annotated[tuple[float, ...], Range(at_least=0, at_most=1)] = ()
    std: Annotated[tuple[float, ...], Range(at_least=1e-6, at_most=1)] = ()

    # Data.
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    augment: str = "random_resized_crop(scale=(0.5, 1.0))|flip_left_right"  # in reading order
    preprocess: str = "resize"  # for evaluation, in the same language
    batch_size: PositiveCount = 32  # photos per step, over all devices and processes

    # In order; each starts from the best weights of the one before, or from its last.
    stages: tuple[StageConfig, ...] = ()

    # Watching and saving.
    skip_steps: MayChange[int] = 0  # steps of a stage with a loss that is not finite to skip
    log_every_steps: MayChange[PositiveCount] = 10  # between two points of the training curves
    # Steps between two checkpoints, besides the one at every epoch's end; 0 for no others.
    checkpoint_every_steps: MayChange[Count] = 1000
    checkpoint_every_minutes: MayChange[NotNegative] = 5.0  # after the last one; 0 for steps alone
    profile_steps: MayChange[str] = ""  # such as '10:20', the steps after 10 up to 20, to trace
    keep_checkpoints: MayChange[PositiveCount] = 2  # besides the best weights of each stage

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.stages:
            raise UserError("config.stages is empty: a recipe needs at least one stage")
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise UserError(f"config.stages has the names {', '.join(names)}: each must differ")
        for field, values in (("mean", self.mean), ("std", self.std)):
            if values and len(values) != self.channels:
                raise UserError(
                    f"config.{field} has {len(values)} values: expected one for each of the "
                    f"{self.channels} channels, or none to take those of the weights"
                )
        _ = self.steps_to_profile

    @property
    def steps_to_profile(self) -> tuple[int, int] | None:
        """The steps of `profile_steps`: after the first, up to the second.

        Raises:
          UserError: they are none, or begin after no step, which would trace a compilation.
        """
        if not self.profile_steps:
            return None
        match = re.fullmatch(r"(\d+):(\d+)", self.profile_steps)
        if match is None or not 0 < int(match[1]) < int(match[2]):
            raise self.wrong("profile_steps", "FROM:TO, such as '10:20', with 0 < FROM < TO")
        return int(match[1]), int(match[2])

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """See `Config`."""
        stages = tuple(StageConfig.from_json(stage) for stage in values["stages"])
        data = DataConfig.from_json(values["data"])
        return super().from_json({**values, "data": data, "stages": stages})


def hints(config: type[Config]) -> dict[str, Any]:
    """Returns the annotations of a config's fields, in order."""
    return typing.get_type_hints(config, include_extras=True)


def may_change() -> frozenset[str]:
    """Returns the fields that may change when a run is resumed, such as 'config.data.directory'."""
    return frozenset(
        f"{name}.{field}"
        for name, config in (("config", RunConfig), ("config.data", DataConfig))
        for field, hint in hints(config).items()
        if _MAY_CHANGE in getattr(hint, "__metadata__", ())
    )


_WORDS = {bool: "True or False", float: "a number", int: "a whole number", str: "text"}


def _converted(value: Any, hint: Any) -> Any:
    """Returns a value as its annotation wants it.

    Raises:
      ValueError: it can't be; the message says what can.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _limited(value, *arguments)
    if origin is Literal:
        if value not in arguments:
            names = ", ".join(str(choice) for choice in arguments if choice != "")
            raise ValueError(f"one of {names}" + (", or ''" if "" in arguments else ""))
        return value
    if origin in (typing.Union, types.UnionType):
        try:
            return None if value is None else _converted(value, arguments[0])
        except ValueError as error:
            raise ValueError(f"{error}, or None") from None
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ValueError("several values, in brackets")
        return tuple(_converted(item, arguments[0]) for item in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ValueError(_WORDS.get(hint, f"a {hint.__name__}"))
    if hint is float and not math.isfinite(value):
        raise ValueError("a number")
    return value


def _limited(value: Any, hint: Any, *notes: Any) -> Any:
    """Returns what `_converted` does, if it is among the `Names` or in the `Range` of the notes."""
    for names in (note for note in notes if isinstance(note, Names)):
        if value not in names:
            raise ValueError(str(names))
    limit = next((note for note in notes if isinstance(note, Range)), Range())
    if typing.get_origin(hint) is tuple:
        try:
            numbers: tuple[float, ...] = _converted(value, hint)
        except ValueError:
            numbers = (math.nan,)
        if not all(number in limit for number in numbers):
            raise ValueError(f"numbers {limit}")
        return numbers
    try:
        value = _converted(value, hint)
    except ValueError as error:
        raise ValueError(f"{error} {limit}".strip()) from None
    if isinstance(value, int | float) and value not in limit:
        raise ValueError(str(limit))
    return value

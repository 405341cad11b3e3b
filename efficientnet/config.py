"""Every config field, declared once: type, default, unit, range, and whether it may change later.

A recipe in configs/ and its overrides are turned into a `RunConfig`. A config that exists is valid:
making one, also with `dataclasses.replace`, converts and checks every value, and a wrong value is a
`UserError` that names the field. This module must import nothing that takes long.

To add a field, declare it below and use it: recipes, flags and `config.json` then have it. Its
annotation gives the allowed values, a `Literal` of choices or a number in a `Range`. Fields marked
`MayChange` may have another value when a run is resumed: they affect what is shown and saved, how
many unreadable photos are tolerated, and where the data are, but not what is computed.
"""

import dataclasses
import json
import math
import re
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from etils import epath

from efficientnet.errors import UserError
from efficientnet.paths import is_in_bucket


@dataclasses.dataclass(frozen=True)
class Range:
    """The range of a number."""

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
MatmulPrecision = Literal["highest", "high", "default"]
DepthwiseKernels = Literal["xla", "pallas"]
Normalization = Literal["weights", "imagenet", "training"]
Cache = Literal["", "memory", "disk"]
Auto = Literal["", "quick", "best"]
Optimizer = Literal["adamw", "adam", "sgd", "rmsprop", "lamb", "lion"]
Schedule = Literal["constant", "cosine", "exponential", "step"]
Monitor = Literal["top1", "top3", "top5", "loss"]  # the metrics that are means over examples
BatchNormPolicy = Literal["frozen", "statistics", "trained"]
StageStart = Literal["best", "last"]
TrackerName = Literal["mlflow", "wandb"]


@dataclasses.dataclass(frozen=True)
class Config:
    """Base class that converts and checks the fields according to their annotations."""

    WRONG = "config.{field} is {value}: expected {expected}"  # {name} is that of a stage

    def __post_init__(self) -> None:
        for field, hint in hints(type(self)).items():
            try:
                value = converted(getattr(self, field), hint)
            except ValueError as error:
                raise self.wrong(field, str(error)) from None
            object.__setattr__(self, field, value)

    def wrong(self, field: str, expected: str) -> UserError:
        """Returns the error to raise for a field with a wrong value."""
        return self.wrong_value(field, getattr(self, field), expected, getattr(self, "name", ""))

    @classmethod
    def wrong_value(cls, field: str, value: Any, expected: object, name: str) -> UserError:
        """Returns the error to raise for a wrong value, before there is a config; in one line."""
        shown = (repr(value).splitlines() or [""])[0]
        return UserError(cls.WRONG.format(field=field, value=shown, expected=expected, name=name))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Returns the config that `to_json` was called on; missing fields get their defaults.

        Raises:
          UserError: a field is unknown or has a wrong value.
          TypeError: a field without a default is missing.
        """
        unknown = sorted(set(values) - set(hints(cls)))
        if unknown:
            raise UserError(f"there is no field {unknown[0]!r}, see efficientnet/config.py")
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """Returns the fields as they are written to `config.json`."""
        return dict(json.loads(json.dumps(dataclasses.asdict(self))))


@dataclasses.dataclass(frozen=True)
class DataConfig(Config):
    """Which photos to use, and how to keep them."""

    WRONG = "config.data.{field} is {value}: expected {expected}"

    source: str = ""  # a name in input_pipeline/sources, 'tfds:NAME' or 'hf:OWNER/NAME'
    directory: MayChange[str] = ""  # where its files are; '' if it needs none
    # The split to validate on, by any of its names: 'auto' takes the source's validation split, or
    # else holds photos out of training; '' always holds them out.
    validation_split: str = "auto"
    validation_fraction: Share = 0.1  # of the training photos of each class, held out
    # Photos of a group, such as one patient, are never divided by a split that is drawn. Groups are
    # those of the data, or found in each name by a pattern such as r'(patient\d+)_'.
    group: str = ""
    examples: Count = 0  # use only so many of the training photos, the first; 0 uses all
    drop_remainder: bool = False  # end epochs with whole batches; else a batch may span two epochs
    # Cross-validation: of so many folds of all photos that are not for testing, validate on 'fold'
    # and train on the others; 0 for none.
    folds: Count = 0
    fold: Count = 0  # from 0
    corrections: str = ""  # a CSV of names and labels, which replace the source's; '' if none
    # How many photos that can't be read may be left out or skipped, over all splits; one more stops
    # the run.
    broken_limit: MayChange[Count] = 0
    # Where to keep decoded training photos, each resized to a square: in 'memory' or on 'disk'; ''
    # decodes them again each time.
    cache: Cache = ""
    cache_resolution: PositiveCount = 256  # pixels per side of the squares
    cache_directory: MayChange[str] = ""  # for 'disk'; '' is photos/ in the cache directory

    def __post_init__(self) -> None:
        super().__post_init__()
        if is_in_bucket(epath.Path(self.cache_directory)):
            expected = "a folder on this machine, because the photos are memory-mapped"
            raise self.wrong("cache_directory", expected)
        if self.folds == 1:
            raise self.wrong("folds", "at least 2, or 0 for none")
        if self.fold >= max(self.folds, 1):
            numbers = f"from 0 to {self.folds - 1}, as data.folds is {self.folds}"
            raise self.wrong("fold", numbers if self.folds else "0 without config.data.folds")
        if self.folds and self.validation_split not in ("", "auto"):
            raise self.wrong(
                "validation_split", "'auto' with config.data.folds, which divide it too"
            )


@dataclasses.dataclass(frozen=True)
class StageConfig(Config):
    """What to train for a number of epochs, and how."""

    WRONG = "stage {name!r} has {field} {value}: expected {expected}"

    name: str  # in TensorBoard, checkpoints and the report
    train: str  # the freeze groups that train, such as 'predictions', 'block6-' or 'all'
    epochs: Positive  # passes over the training photos

    # Optimization.
    optimizer: Optimizer = "adamw"
    learning_rate: Positive | Literal["auto"] = 1e-3  # peak, after the warmup; 'auto' finds it
    head_learning_rate: Positive | None = None  # of the classifier; None is learning_rate
    layer_decay: Factor = 1.0  # of the learning rate, per block from the classifier down; 1: none
    momentum: NotNegative = 0.9  # of sgd and rmsprop
    nesterov: bool = True  # Nesterov momentum, for sgd
    epsilon: Positive | None = None  # of adamw, adam, lamb and rmsprop; None is their usual one
    weight_decay: NotNegative = 0.0  # of kernels; never of biases or BatchNorm
    clip_norm: NotNegative = 0.0  # global norm that gradients are clipped to; 0 for none

    # After a linear warmup from 0, the learning rate is 'constant', follows a 'cosine' down to 0,
    # decays smoothly ('exponential'), or decays in steps ('step').
    schedule: Schedule = "cosine"
    warmup_epochs: NotNegative = 0.0  # length of the warmup
    decay_rate: Positive = 0.97  # factor of 'exponential' and 'step' ...
    decay_epochs: Positive = 2.4  # ... over this many epochs, counted from the start of the stage
    micro_batches: PositiveCount = 1  # gradient accumulation: parts per batch, to save memory

    # Regularization.
    label_smoothing: Share = 0.1  # probability mass spread over all classes
    mixup: NotNegative = 0.0  # alpha of mixup's Beta distribution; 0 for none
    cutmix: NotNegative = 0.0  # the same for CutMix; with both, each step picks one of them
    balance_classes: bool = False  # give every class the same share of the training loss
    dropout: Share | None = None  # rate before the classifier; None is the variant's
    drop_connect: Share = 0.2  # stochastic depth: rate of the last block
    drop_in_frozen: bool = False  # dropout and stochastic depth in frozen groups too, as in Keras

    # A stage that trains only the classifier can compute the features once, for this many augmented
    # copies of each photo, and use the copies in turn; 0 computes the features in each step.
    cached_copies: Count = 0

    # BatchNorm in the layers that train: 'frozen', update only 'statistics', or 'trained'.
    batch_norm: BatchNormPolicy = "frozen"
    # Which of the freeze groups that train this is for: with 'predictions', only the head's own
    # BatchNorm goes on training, and that of the others is frozen; '' is all of them.
    batch_norm_groups: str = ""

    # Exponential moving average of the weights; validated too, and the better of the two is kept.
    ema_decay: Share = 0.0  # per step, such as 0.9999; 0 for none

    start: StageStart = "best"  # weights of the previous stage to start from

    # The validation metric, computed after each epoch, that chooses the stage's best weights and
    # decides the following.
    monitor: Monitor = "top1"
    min_improvement: float = 1e-3  # smallest change that counts, in the metric's unit
    plateau_patience: PositiveCount = 3  # after this many epochs without improvement, multiply ...
    plateau_factor: Factor = 1.0  # ... the learning rate by this factor; 1 never changes it
    plateau_floor: NotNegative = 0.0  # peak learning rate below which it is not lowered
    stop_patience: Count = 0  # end the stage after this many epochs without improvement; 0 never

    def __post_init__(self) -> None:
        super().__post_init__()
        if not re.fullmatch(r"[\w+-][\w .+-]*", self.name):
            raise UserError(
                f"config.stages has the name {self.name!r}: expected letters, digits, spaces and "
                "_.+-, as it names files"
            )
        if self.learning_rate == "auto" and self.head_learning_rate is not None:
            raise self.wrong("head_learning_rate", "None with learning_rate 'auto'")

    @property
    def peak_rate(self) -> float:
        """The learning rate as a number; a `UserError` if it is still to be found."""
        if isinstance(self.learning_rate, str):
            raise self.wrong("learning_rate", "a number here, as scripts/find_rate.py suggests")
        return self.learning_rate


@dataclasses.dataclass(frozen=True)
class RunConfig(Config):
    """A whole run; a recipe must set at least `data.source` and `stages`."""

    # What configs/auto.py was asked for, if it has decided this recipe. In a recipe without stages
    # it means that fields that are None are still to be decided, see efficientnet/finetuning.
    auto: Auto = ""

    # Of the validation split, the order of the photos, the augmentation and the initialization.
    seed: Annotated[int, Range(at_least=0, below=2**31)] = 0

    # Network.
    variant: str = "b0"  # a row of efficientnet/network/variants.py
    # A name, such as 'noisy_student', 'keras:b0' or 'hf:OWNER/NAME', or a path, see
    # docs/weights.md; '' for random.
    weights: str = "noisy_student"
    resolution: PositiveCount | None = None  # pixels per side; None is the variant's own
    channels: Literal[1, 3] = 3  # 3 for color, 1 for gray
    dtype: Dtype = "float32"  # of activations; parameters are always float32
    matmul_precision: MatmulPrecision = "highest"  # of float32 training, see docs/gpu.md
    depthwise_kernels: DepthwiseKernels = "xla"  # of training on NVIDIA GPUs, see docs/gpu.md
    deterministic: MayChange[bool] = True  # whether GPUs repeat their bits, see docs/gpu.md
    # Rematerialization: keep only the input of each block for the gradient and recompute the rest.
    # A larger batch or network fits into memory, for about a third more computation.
    remat: bool = False
    # BatchNorm that trains computes its statistics on each device separately, so that no device
    # waits for another: for large slices. Results then depend on the number of devices.
    batch_norm_per_device: bool = False
    head_batch_norm: bool = False  # a BatchNorm between the features and the classifier
    # Photos are normalized to (photo - mean) / std with the values of the 'weights', of 'imagenet',
    # or of the 'training' photos; or with the given ones, for each channel on the scale 0 to 1.
    normalization: Normalization = "weights"
    mean: tuple[Annotated[float, Range(at_least=0, at_most=1)], ...] = ()
    std: tuple[Annotated[float, Range(at_least=1e-6, at_most=1)], ...] = ()

    # Data.
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    augment: str = "random_resized_crop(scale=(0.5, 1.0))|flip_left_right"  # from left to right
    # For evaluation, prediction and exports, in the same syntax: 'resize' squeezes photos, 'pad'
    # shows all of them in their shape, 'resize_center_crop' their middle, see docs/data.md.
    preprocess: str = "resize"
    batch_size: PositiveCount = 32  # images per step, over all devices and processes

    stages: tuple[StageConfig, ...] = ()  # in order; each starts from weights of the previous one

    # Logging and checkpoints.
    skip_steps: MayChange[Count] = 0  # steps per stage to skip because their loss is not finite
    log_every_steps: MayChange[PositiveCount] = 10  # to TensorBoard
    # Where the curves, hyperparameters and results go besides TensorBoard, see docs/tracking.md.
    trackers: MayChange[tuple[TrackerName, ...]] = ()
    # Steps between two checkpoints; 0 saves only at the end of every epoch.
    checkpoint_every_steps: MayChange[Count] = 1000
    checkpoint_every_minutes: MayChange[NotNegative] = 5.0  # after the last one; 0 for never
    profile_steps: MayChange[str] = ""  # to trace, such as '10:20' for those after 10 up to 20
    keep_checkpoints: MayChange[PositiveCount] = 2  # in addition to the best weights of each stage

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
          UserError: there are none, or they include the first step, which compiles.
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


def converted(value: Any, hint: Any) -> Any:
    """Returns a value converted to the type of a field's annotation.

    Raises:
      ValueError: the value is wrong; the message says what was expected.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _limited(value, *arguments)
    if origin is Literal:
        if value not in arguments:
            names = ", ".join(str(choice) for choice in arguments if choice != "")
            raise ValueError(f"one of {names}" + (", or ''" if "" in arguments else ""))
        return value
    if origin in (typing.Union, types.UnionType):  # a number or a word, which may be None
        (other,) = typing.get_args(arguments[1]) or (None,)
        try:
            return other if value == other else converted(value, arguments[0])
        except ValueError as error:
            raise ValueError(f"{error}, or {other!r}") from None
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ValueError("several values, in brackets")
        try:
            return tuple(converted(item, arguments[0]) for item in value)
        except ValueError as error:
            raise ValueError(f"each value {error}") from None
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ValueError(_WORDS.get(hint, f"a {hint.__name__}"))
    if hint is float and not math.isfinite(value):
        raise ValueError("a number")
    return value


def _limited(value: Any, hint: Any, *notes: Any) -> Any:
    """Returns the converted value if it is in the `Range` of the notes."""
    limit = next((note for note in notes if isinstance(note, Range)), Range())
    try:
        value = converted(value, hint)
    except ValueError as error:
        raise ValueError(f"{error} {limit}".strip()) from None
    if isinstance(value, int | float) and value not in limit:
        raise ValueError(str(limit))
    return value

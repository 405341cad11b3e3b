"""Values of a config that can't be, found before anything long starts."""

import math
import re
from collections.abc import Sequence

import jax
from etils import epath
from ml_collections import ConfigDict

import input_pipeline
from efficientnet.errors import UserError
from efficientnet.network.variants import get_variant
from efficientnet.paths import is_in_bucket
from efficientnet.training import monitoring, optim, stages, tensorboard

DTYPES = ("float32", "bfloat16")
STARTS = ("best", "last")
NORMALIZATIONS = ("weights", "imagenet", "training")
CACHES = ("", "memory", "disk")


def check(config: ConfigDict, devices: int | None = None) -> None:
    """Raises a `UserError` that names the field with a value that can't be.

    Args:
      config: a recipe.
      devices: that it is for; None counts those that JAX has.
    """
    devices = jax.device_count() if devices is None else devices
    if not config.stages:
        raise UserError("config.stages is empty: a recipe needs at least one stage")
    for name, fields in (("config", config), *((f"stage {s.name!r}", s) for s in config.stages)):
        _check_finite(name, fields)
    _check_names([stage.name for stage in config.stages])
    _check_run(config, devices)
    _check_data(config)
    for stage in config.stages:
        _check_stage(stage, config, devices)


def _check_finite(name: str, fields: ConfigDict) -> None:
    for field, value in fields.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{name} has {field} {value}: expected a number")


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        if not re.fullmatch(r"[\w+-][\w .+-]*", name):
            raise UserError(
                f"config.stages has the name {name!r}: expected letters, digits, spaces and _.+-, "
                "as it names files"
            )
    if len(set(names)) < len(names):
        raise UserError(f"config.stages has the names {', '.join(names)}: each must differ")


def _check_run(config: ConfigDict, devices: int) -> None:
    """Checks what is the same for all stages, but for the data."""
    for field, choices in (("dtype", DTYPES), ("normalization", NORMALIZATIONS)):
        if config[field] not in choices:
            raise _wrong(config, field, f"one of {', '.join(choices)}")
    if config.batch_size < 1 or config.batch_size % devices:
        raise _wrong(config, "batch_size", f"a positive multiple of the {devices} devices")
    for field, low in (("mean", 0), ("std", 1e-6)):
        values = tuple(config[field])
        if not all(isinstance(value, float | int) and low <= value <= 1 for value in values):
            raise _wrong(config, field, f"numbers from {low} to 1")
        if values and len(values) != config.channels:
            raise UserError(
                f"config.{field} has {len(values)} values: expected one for each of the "
                f"{config.channels} channels, or none to take those of the weights"
            )
    if not 0 <= config.seed < 2**31:
        raise _wrong(config, "seed", "0 or more, below 2**31")
    if config.resolution is not None and config.resolution < 1:
        raise _wrong(config, "resolution", "at least 1, or None for the variant's own")
    _check_at_least("config", config, keep_checkpoints=1, log_every_steps=1)
    _check_at_least("config", config, checkpoint_every_steps=0, checkpoint_every_minutes=0)
    resolution = config.resolution or get_variant(config.variant).resolution
    input_pipeline.Augmentation(config.augment, resolution, config.channels)
    input_pipeline.without_chance(config.preprocess, resolution, config.channels)
    tensorboard.parse(config.profile_steps)


def _check_data(config: ConfigDict) -> None:
    data = config.data
    if data.cache not in CACHES:
        names = ", ".join(name for name in CACHES if name)
        raise _wrong(data, "cache", f"one of {names}, or ''", "config.data")
    if is_in_bucket(epath.Path(data.cache_directory)):
        expected = "a folder of this machine, as the photos are mapped into memory from there"
        raise _wrong(data, "cache_directory", expected, "config.data")
    _check_at_least("config.data", data, cache_resolution=1, broken_limit=0)


def _check_at_least(name: str, fields: ConfigDict, **lows: int) -> None:
    for field, low in lows.items():
        if fields[field] < low:
            raise _wrong(fields, field, f"at least {low}", name)


def _wrong(fields: ConfigDict, field: str, expected: str, name: str = "config") -> UserError:
    return UserError(f"{name}.{field} is {fields[field]!r}: expected {expected}")


def _check_stage(stage: ConfigDict, config: ConfigDict, devices: int) -> None:
    _check_numbers(stage)
    parts = stage.micro_batches * devices
    if config.batch_size % parts:
        raise UserError(
            f"stage {stage.name!r} has micro_batches {stage.micro_batches}: "
            f"config.batch_size {config.batch_size} is no multiple of {parts}, the parts on "
            f"{devices} devices"
        )
    if stage.start not in STARTS:
        raise stages.wrong(stage, "start", f"one of {', '.join(STARTS)}")
    monitoring.check(stage)
    groups = stages.plan(stage).groups
    if stage.cached_copies and (groups != ("predictions",) or stage.mixup or stage.cutmix):
        raise UserError(
            f"stage {stage.name!r} has cached_copies {stage.cached_copies}: only a stage that "
            "trains 'predictions' alone, without mixup and cutmix, can train on cached features"
        )
    schedule = optim.make_schedule(stage, 1, 1.0)
    optim.make_optimizer(stage, schedule, get_variant(config.variant))


def _check_numbers(stage: ConfigDict) -> None:
    for field, low in (("epochs", "more than 0"), ("micro_batches", "at least 1")):
        if stage[field] <= 0:
            raise stages.wrong(stage, field, low)
    if stage.head_learning_rate is not None and stage.head_learning_rate <= 0:
        raise stages.wrong(stage, "head_learning_rate", "more than 0, or none for that of all")
    for field in ("mixup", "cutmix", "cached_copies", "warmup_epochs"):
        if stage[field] < 0:
            raise stages.wrong(stage, field, "0 or more")
    for field in ("ema_decay", "label_smoothing", "dropout", "drop_connect"):
        if stage[field] is not None and not 0 <= stage[field] < 1:
            raise stages.wrong(stage, field, "0 or more, below 1")

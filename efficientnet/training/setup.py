"""Setting up an experiment from a config: data, network and devices, with all checks."""

import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from etils import epath
from jax.sharding import Mesh

import input_pipeline
from efficientnet.config import DataConfig, RunConfig, StageConfig
from efficientnet.errors import UserError
from efficientnet.network import freeze_groups
from efficientnet.network.model import EfficientNet
from efficientnet.network.ops import depthwise_kernels
from efficientnet.network.variants import Variant, get_variant
from efficientnet.paths import cache_directory, user_path
from efficientnet.records import PhotosRecord, SplitIdentity
from efficientnet.runtime import devices
from efficientnet.runtime.provenance import WeightsOrigin
from efficientnet.training import broken_photos, start, workdir
from efficientnet.training.start import NOTHING, Opened
from efficientnet.weights import Preprocessing
from efficientnet.weights.conventions import MEAN_STD
from input_pipeline.augment import spec

log = logging.getLogger(__name__)

HELD_OUT = "photos held out of training"


@dataclasses.dataclass(frozen=True)
class Data:
    """The examples of an experiment."""

    class_names: tuple[str, ...]
    train: input_pipeline.Split
    validation: input_pipeline.Split
    test: input_pipeline.Split
    selected_on: str = HELD_OUT  # what `validation` is, in words or as the name of a split

    @property
    def splits(self) -> dict[str, input_pipeline.Split]:
        """The splits by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    def on(self, splits: Mapping[str, input_pipeline.Split]) -> "Data":
        """Returns the same with other splits."""
        train, validation, test = (splits[name] for name in self.splits)
        return dataclasses.replace(self, train=train, validation=validation, test=test)


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Everything that stays the same over the stages."""

    config: RunConfig
    mesh: Mesh
    data: Data
    batches: input_pipeline.BatchSource
    variant: Variant
    padding: str
    bn_epsilon: float
    mean: np.ndarray  # [channels], of the input on the scale 0..255
    std: np.ndarray
    variables: dict[str, Any]  # before the first stage
    # Of the data before unreadable photos are left out, see `broken_photos.identity`.
    identity: Mapping[str, SplitIdentity] = dataclasses.field(default_factory=dict)
    photos: PhotosRecord | None = None  # for the workdir, see `broken_photos`
    weights: WeightsOrigin | None = None  # None for random ones
    on_features: bool = False  # whether batches hold features in place of images

    @property
    def resolution(self) -> int:
        """Pixels per side of the network's input."""
        return self.config.resolution or self.variant.resolution

    def model(self, stage: StageConfig) -> EfficientNet:
        """Returns the network with a stage's regularization."""
        classes = len(self.data.class_names)
        model = start.model(self.config, classes, self.padding, self.bn_epsilon, self.mesh)
        return model.clone(
            dropout=stage.dropout,
            drop_connect=stage.drop_connect,
            classifier_only=self.on_features,
        )

    def train_batches(self, start_step: int, num_steps: int) -> Iterator[dict[str, Any]]:
        """Yields batches to train on as global arrays; steps count over all stages."""
        return devices.to_devices(self.batches.train(start_step, num_steps), self.mesh)

    def eval_batches(self, split: input_pipeline.Split) -> Iterator[dict[str, Any]]:
        """Yields every example of a split once, the last batch padded, as global arrays."""
        return devices.to_devices(self.batches.evaluate(split), self.mesh)


def check(config: RunConfig, devices: int | None = None) -> None:
    """Checks the parts of a config that depend on the network, the photos and the devices.

    Args:
      config: of a run.
      devices: number of devices; None takes those of JAX.

    Raises:
      UserError: a field has a wrong value.
    """
    devices = jax.device_count() if devices is None else devices
    if config.batch_size % devices:
        raise config.wrong("batch_size", f"a positive multiple of the {devices} devices")
    if config.depthwise_kernels == "pallas" and (other := depthwise_kernels.instead(jax.devices())):
        raise config.wrong("depthwise_kernels", other)
    resolution = config.resolution or get_variant(config.variant).resolution
    input_pipeline.Augmentation(config.augment, resolution, config.channels)
    input_pipeline.without_chance(config.preprocess, resolution, config.channels)
    for stage in config.stages:
        freeze_groups.trainable(stage)
        if stage.cached_copies and config.data.drop_remainder:
            raise config.data.wrong("drop_remainder", f"False with cached_copies of {stage.name!r}")
        parts = stage.micro_batches * devices
        if config.batch_size % parts:
            raise UserError(
                f"stage {stage.name!r} has micro_batches {stage.micro_batches}: "
                f"config.batch_size {config.batch_size} is not a multiple of {parts}, the parts on "
                f"{devices} devices"
            )


def open_source(config: DataConfig) -> input_pipeline.Source:
    """Opens the data set, with its labels corrected; the same for all folds."""
    source = input_pipeline.load_source(
        config.source,
        config.directory or None,
        keep_validation=_validation_split(config) == "validation",
        group=config.group,
    )
    if config.corrections:
        source = input_pipeline.corrected(source, user_path(config.corrections))
    return source


def _validation_split(config: DataConfig) -> str:
    return input_pipeline.split_of(config.validation_split) or config.validation_split


def load_data(config: RunConfig, source: input_pipeline.Source | None = None) -> Data:
    """Returns the splits that an experiment trains, validates and tests on.

    Args:
      config: of the run.
      source: the data set, if it is open; see `open_source`.
    """
    settings = config.data
    source = source or open_source(settings)
    split = _validation_split(settings)
    if split == "auto":
        split = "validation" if "validation" in source.splits else ""
    if split == "train" or (split and split not in source.splits):
        raise settings.wrong(
            "validation_split",
            f"a split that is not trained on, of {', '.join(source.splits)}",
        )
    train, test = source.splits["train"], source.splits["test"]
    if settings.examples:
        train = train.take(np.arange(min(settings.examples, len(train))))
        left, before = (
            len(set(labels)) for labels in (train.labels, source.splits["train"].labels)
        )
        if left < before:
            log.warning(
                "the first %d training photos are of %d classes only, all are of %d: see "
                "config.data.examples",
                len(train),
                left,
                before,
            )
    if settings.folds:
        every = [train, *([source.splits[split]] if split else [])]
        train, validation = input_pipeline.fold(
            input_pipeline.joined(every), settings.folds, settings.fold, config.seed
        )
    elif split:
        validation = source.splits[split]
    else:
        train, validation = input_pipeline.hold_out(
            train, settings.validation_fraction, config.seed
        )
    for unused in sorted(source.splits.keys() - {"train", "test", split}):
        log.info("data: the split %s is not used (%d photos)", unused, len(source.splits[unused]))
    for use, photos in (("train", train), ("validate", validation), ("test", test)):
        if not len(photos):
            raise UserError(f"the data {source.name!r} leave no photo to {use} on: more are needed")
    if len(set(train.labels.tolist())) == 1:
        only = source.class_names[train.labels[0]]
        raise UserError(
            f"all {len(train):,} photos to train on are of the class {only!r}: two classes or more "
            "are needed"
        )
    if settings.drop_remainder and len(train) < config.batch_size:
        few = f"False for {len(train)} photos to train on, less than a batch of {config.batch_size}"
        raise settings.wrong("drop_remainder", few)
    if split == "test":
        log.warning(
            "the best weights are chosen on the test split, as set in config.data: its "
            "metrics don't tell how well new photos are classified"
        )
    return Data(
        source.class_names,
        train,
        validation,
        test,
        HELD_OUT if settings.folds or not split else split,
    )


def data_of_run(
    config: RunConfig, folder: epath.Path, source: input_pipeline.Source | None = None
) -> tuple[Data, list[str]]:
    """Returns the photos that a run uses, and how the data have changed since it began.

    Args:
      config: of the run; its directory may be another.
      folder: of the run.
      source: the data set, if it is open.
    """
    data = load_data(config, source)
    splits, record = broken_photos.of_run(folder, data.splits)
    changes = workdir.changes_since(folder, data.class_names, broken_photos.identity(splits))
    return data.on(broken_photos.without_broken(splits, record)), changes


def prepare(
    config: RunConfig,
    folder: epath.Path | None = None,
    opened: Opened = NOTHING,
) -> Experiment:
    """Reads the index of the data and the weights; looks at all photos, and decodes some to cache.

    Args:
      config: of the run.
      folder: the run's, which may hold a checkpoint; None if there is none.
      opened: what is open already.

    Raises:
      UserError: a field has a wrong value, too many photos can't be read, or the data are not those
        that the run in the folder began on.
    """
    check(config)
    data = load_data(config, opened.source)
    variant = get_variant(config.variant)
    # Before the look at all photos, which takes longer than to find that weights don't fit.
    variables, conventions, origin = start.network(
        config, variant, len(data.class_names), opened.pretrained
    )
    photos = broken_photos.choose(config.data, data.class_names, data.splits, folder)
    data = data.on(photos.splits)
    log.info(
        "data: %s, %d classes; %d photos for training, %d for validation, %d for testing",
        config.data.source,
        len(data.class_names),
        len(data.train),
        len(data.validation),
        len(data.test),
    )
    log.info("data: %s", _class_sizes(data))
    resolution = config.resolution or variant.resolution
    mean, std = _normalization(config, conventions.preprocessing, data.train, resolution)
    if config.data.cache:
        allowed = max(config.data.broken_limit - len(photos.left_out), 0)
        photos = photos.leave_out("train", decode_once(config, data.train, allowed))
        data = data.on(photos.splits)
    batches = make_loader(config, data.train, resolution)
    batches.skipped.extend(photos.left_out)
    return Experiment(
        config=config,
        mesh=devices.data_mesh(),
        data=data,
        batches=batches,
        variant=variant,
        padding=conventions.padding,
        bn_epsilon=conventions.bn_epsilon,
        mean=mean,
        std=std,
        variables=variables,
        identity=photos.identity,
        photos=photos.record,
        weights=origin,
    )


def _class_sizes(data: Data) -> str:
    """Describes how uneven the classes are, by their photos for training."""
    counts = np.bincount(data.train.labels, minlength=len(data.class_names))
    small, large = counts.argmin(), counts.argmax()
    return (
        f"the smallest class has {counts[small]:,} photos for training "
        f"({data.class_names[small]!r}), the median {np.median(counts):,.0f}, the largest "
        f"{counts[large]:,} ({data.class_names[large]!r})"
    )


def decode_once(
    config: RunConfig, train: input_pipeline.Split, broken_limit: int
) -> input_pipeline.Split:
    """Returns the readable training photos, decoded once, as `config.data.cache` says.

    Photos that `config.augment` pads are padded squares in the cache, the others squeezed ones.
    """
    settings = config.data
    folder = settings.cache_directory or str(cache_directory() / "photos")
    return input_pipeline.decoded(
        train,
        settings.cache_resolution,
        config.channels,
        folder if settings.cache == "disk" else "memory",
        broken_limit,
        spec.find(config.augment, "pad") or "resize",
    )


def make_loader(
    config: RunConfig, train: input_pipeline.Split, resolution: int
) -> input_pipeline.Loader:
    """Returns the loader of this process for a config."""
    return input_pipeline.Loader(
        train,
        batch_size=config.batch_size,
        resolution=resolution,
        channels=config.channels,
        augment=config.augment,
        preprocess=config.preprocess,
        seed=config.seed,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        drop_remainder=config.data.drop_remainder,
        broken_limit=config.data.broken_limit,
    )


def _normalization(
    config: RunConfig, weights: Preprocessing, train: input_pipeline.Split, resolution: int
) -> tuple[np.ndarray, ...]:
    """Returns mean and standard deviation of each channel on the scale 0 to 255, float32."""
    known: tuple[Sequence[float], ...] = (weights.mean, weights.std)
    if config.normalization == "imagenet":
        known = (MEAN_STD.mean, MEAN_STD.std)
    elif config.normalization == "training" and not (config.mean and config.std):
        computed = input_pipeline.cached_statistics(
            train,
            resolution=resolution,
            channels=config.channels,
            broken_limit=config.data.broken_limit,
        )
        known = tuple(tuple(255 * value for value in values) for values in computed)
    return tuple(
        np.asarray(given, np.float32) * 255 if given else _per_channel(other, config.channels)
        for given, other in zip((config.mean, config.std), known, strict=True)
    )


def _per_channel(values: Sequence[float], channels: int) -> np.ndarray:
    """Returns one value per channel; for gray images, the mean of those of three colors."""
    array = np.asarray(values, np.float32)
    return array if len(array) == channels else array.mean(keepdims=True)

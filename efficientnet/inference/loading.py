"""Loading a network in one line: pretrained weights, or a run from its workdir."""

import importlib.resources
import logging
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from etils import epath

from efficientnet import records
from efficientnet.errors import UserError
from efficientnet.inference.network import Network, TrainedNetwork
from efficientnet.network.model import EfficientNet, init_variables
from efficientnet.network.variants import get_variant
from efficientnet.paths import absolute
from efficientnet.records import NetworkRecord
from efficientnet.reporting.runs import CONFIG, NETWORK, SUMMARY, read_config
from efficientnet.training import checkpoints
from efficientnet.weights import Preprocessing, check_classifier, load_pretrained

log = logging.getLogger(__name__)

IMAGENET_CLASSES = 1000
# As in the evaluation of the TPU reference implementation.
IMAGENET_PREPARATION = "center_crop(0.875, method='bicubic')"


def load(weights: str, variant: str | None = None) -> Network:
    """Loads a network.

    Args:
      weights: 'noisy_student', 'imagenet', 'autoaugment', 'randaugment', 'advprop', 'lite',
        'lite_wheel'; 'keras:b0', 'torchvision:b0', 'timm:NAME' or 'hf:OWNER/NAME' of the Hugging
        Face Hub; the path of a checkpoint in any known format; or the workdir of a run, whose last
        finished stage is loaded.
      variant: such as 'b0'; only needed with a word that doesn't name it.

    Raises:
      UserError: see `weights.load_pretrained` and `load_run`.
    """
    if is_run(weights):
        run = load_run(weights)
        if variant not in (None, run.config.variant):
            raise UserError(f"{weights} is a run of {run.config.variant}, not of {variant}")
        return run
    pretrained = load_pretrained(weights, variant)
    check_classifier(pretrained)
    row = get_variant(pretrained.variant)
    module = EfficientNet(
        variant=row,
        num_classes=pretrained.num_classes,
        padding=pretrained.padding,
        bn_epsilon=pretrained.bn_epsilon,
    )
    variables = {"params": pretrained.params, "batch_stats": pretrained.batch_stats}
    return Network(
        module=module,
        variables=jax.tree.map(jnp.asarray, variables),
        preprocessing=pretrained.preprocessing,
        class_names=pretrained.class_names or class_names(pretrained.num_classes),
        resolution=pretrained.resolution or row.resolution,
        preparation=pretrained.preparation or IMAGENET_PREPARATION,
    )


def class_names(num_classes: int) -> tuple[str, ...]:
    """The names of ImageNet's classes if there are a thousand of them, else numbers."""
    if num_classes != IMAGENET_CLASSES:
        return tuple(f"class {index}" for index in range(num_classes))
    names = importlib.resources.files("efficientnet.weights") / "imagenet_classes.txt"
    return tuple(names.read_text("utf-8").splitlines())


def is_run(path: str) -> bool:
    """Whether a folder is the workdir of a run that has begun."""
    folder = absolute(path)
    return (folder / CONFIG).exists() and (folder / "checkpoints").exists()


def load_run(path: str, stage: str | None = None) -> TrainedNetwork:
    """Loads the best weights of a stage of a run, which may still be training.

    The run's photos are not needed.

    Args:
      path: the workdir.
      stage: name of the stage; by default the last finished one.

    Raises:
      UserError: the folder is no workdir, the stage is unknown or has no weights yet, no stage is
        finished, or a file is damaged.
    """
    folder = absolute(path)
    lacking = [name for name in (CONFIG, "checkpoints") if not (folder / name).exists()]
    if lacking:
        raise UserError(f"{path} is no run's workdir: it has no {' and no '.join(lacking)}")
    if not (folder / NETWORK).exists():
        raise UserError(
            f"{folder} has no {NETWORK}: it was begun by an older version, and the same "
            "train.py command completes it"
        )
    config = read_config(folder)
    record = records.read(NetworkRecord, folder / NETWORK)
    with records.reading(folder / CONFIG):
        module = EfficientNet(
            variant=get_variant(config.variant),
            num_classes=len(record.class_names),
            head_batch_norm=config.head_batch_norm,
            dtype=jnp.dtype(config.dtype),
            padding=record.padding,
            bn_epsilon=record.bn_epsilon,
        )
        channels, preparation = config.channels, config.preprocess
        stage_names = [stage.name for stage in config.stages]
    stage = _choose_stage(folder, stage_names, stage)
    shapes = jax.eval_shape(lambda key: init_variables(module, key, channels), jax.random.key(0))
    return TrainedNetwork(
        module=module,
        variables=checkpoints.read_best(folder / "checkpoints", stage, shapes),
        preprocessing=Preprocessing(record.mean, record.std),
        class_names=record.class_names,
        resolution=record.resolution,
        preparation=preparation,
        folder=folder,
        config=config,
        stage=stage,
        record=record,
    )


def _choose_stage(folder: epath.Path, names: Sequence[str], stage: str | None) -> str:
    """Returns the stage to load: the one asked for, or the last finished one."""
    progress = checkpoints.read_progress(folder / "checkpoints")
    finished = [result.name for result in progress.finished]
    if (folder / SUMMARY).exists():
        finished = list(names)
    if stage is None:
        if not finished:
            raise UserError(
                f"no stage of {folder} is finished: train on with the same command, or take the "
                f"best weights so far by --stage={names[0]}"
            )
        return finished[-1]
    if stage not in names:
        raise UserError(f"{folder} has no stage {stage!r}: expected one of {', '.join(names)}")
    if stage not in finished:
        if not any(epoch.stage == stage for epoch in progress.history):
            raise UserError(
                f"stage {stage!r} of {folder} has no weights yet: wait for its first epoch's end"
            )
        log.warning("stage %s is not finished: these are its best weights so far", stage)
    return stage

"""A run's network, loaded from its workdir without its data."""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from etils import epath

from efficientnet.config import RunConfig
from efficientnet.errors import UserError
from efficientnet.inference.network import Network
from efficientnet.network.model import EfficientNet, init_variables
from efficientnet.network.variants import get_variant
from efficientnet.paths import absolute
from efficientnet.reporting.runs import read_config, read_json, reading
from efficientnet.training import checkpoints, workdir
from efficientnet.weights import Preprocessing

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class TrainedNetwork(Network):
    """A network and the run that trained it.

    Attributes:
      folder: the workdir.
      config: the run's recipe.
      stage: name of the stage whose best weights these are.
      known: the content of `network.json`.
    """

    folder: epath.Path
    config: RunConfig
    stage: str
    known: Mapping[str, Any]


def is_run(path: str) -> bool:
    """Whether a folder is the workdir of a run that has begun."""
    folder = absolute(path)
    return (folder / workdir.CONFIG).exists() and (folder / "checkpoints").exists()


def load_run(path: str, stage: str | None = None) -> TrainedNetwork:
    """Loads the best weights of a stage of a run, finished or still training.

    Args:
      path: the workdir.
      stage: name of the stage; None takes the last finished one.

    Raises:
      UserError: the folder is no run's, the stage is unknown or has no weights yet, no stage is
        finished, or a file is damaged.
    """
    if not is_run(path):
        raise UserError(f"{path} is no run's workdir: it has no {workdir.CONFIG} and checkpoints")
    folder = absolute(path)
    if not (folder / workdir.NETWORK).exists():
        raise UserError(
            f"{folder} has no {workdir.NETWORK}: it was begun by an older version, and the same "
            "train.py command completes it"
        )
    config = read_config(folder)
    with reading(folder / workdir.NETWORK):
        known = read_json(folder / workdir.NETWORK)
        class_names, resolution = tuple(known["class_names"]), int(known["resolution"])
        preprocessing = Preprocessing(tuple(known["mean"]), tuple(known["std"]))
        settings = {name: known[name] for name in ("padding", "bn_epsilon")}
    with reading(folder / workdir.CONFIG):
        module = EfficientNet(
            variant=get_variant(config.variant),
            num_classes=len(class_names),
            head_batch_norm=config.head_batch_norm,
            dtype=jnp.dtype(config.dtype),
            **settings,
        )
        channels, preparation = config.channels, config.preprocess
    stage = _stage(folder, config, stage)
    like = jax.eval_shape(lambda key: init_variables(module, key, channels), jax.random.key(0))
    return TrainedNetwork(
        module=module,
        variables=checkpoints.read_best(folder / "checkpoints", stage, like),
        preprocessing=preprocessing,
        class_names=class_names,
        resolution=resolution,
        preparation=preparation,
        folder=folder,
        config=config,
        stage=stage,
        known=known,
    )


def _stage(folder: epath.Path, config: RunConfig, wanted: str | None) -> str:
    """Returns the name of the stage to load."""
    with reading(folder / workdir.CONFIG):
        names = [stage.name for stage in config.stages]
    progress = checkpoints.read_progress(folder / "checkpoints")
    if (folder / workdir.SUMMARY).exists():
        finished = names
    else:
        finished = [entry["name"] for entry in progress["finished"]]
    if wanted is None:
        if not finished:
            raise UserError(
                f"no stage of {folder} is finished: train on with the same command, or take the "
                f"best weights so far by --stage={names[0]}"
            )
        return finished[-1]
    if wanted not in names:
        raise UserError(f"{folder} has no stage {wanted!r}: expected one of {', '.join(names)}")
    if wanted not in finished:
        epochs = [entry["epoch"] for entry in progress["history"] if entry["stage"] == wanted]
        if not epochs:
            raise UserError(
                f"stage {wanted!r} of {folder} has no weights yet: wait for its first epoch's end"
            )
        log.warning("stage %s is not finished: these are its best weights so far", wanted)
    return wanted

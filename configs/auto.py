"""Decides the recipe: from your photos, this machine and the pretrained weights at hand.

    python train.py --config=configs/auto.py --config.data.directory=photos --workdir=runs/mine
    python train.py --config=configs/auto.py:best --config.data.directory=photos \
        --workdir=runs/best

`quick`, the default, gives a good network soon; `best` takes several times as long. The rules
stand in efficientnet/finetuning/rules.py. `train.py` prints each decision with its reason, writes
the recipe to WORKDIR/recipe.py, and runs it; the same command again goes on with that recipe, with
what you have changed in it. What you set yourself is not decided: --config.batch_size=8.
"""

from typing import get_args

from ml_collections import ConfigDict

from configs import common
from configs.fields import leave_open
from efficientnet.config import Auto
from efficientnet.errors import UserError

# What is decided, besides the stages.
DECIDED = (
    "variant",
    "weights",
    "resolution",
    "channels",
    "dtype",
    "augment",
    "batch_size",
    "data.source",
    "data.validation_fraction",
    "data.cache",
    "data.cache_resolution",
)


QUALITIES = tuple(filter(None, get_args(Auto)))


def get_config(quality: str = QUALITIES[0]) -> ConfigDict:
    """Returns the open recipe; the argument is 'quick' or 'best'."""
    if quality not in QUALITIES:
        raise UserError(f"auto.py:{quality}: expected one of {', '.join(QUALITIES)}")
    config = common.get_config()
    config.auto = quality
    leave_open(config, DECIDED)
    return config

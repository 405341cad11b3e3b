"""PyTorch's run of a recipe: what it starts from, what it refuses, and that it learns as ours."""

import dataclasses
import importlib.util
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from etils import epath
from ml_collections import ConfigDict

from benchmarks import accuracy
from configs import common
from efficientnet.errors import UserError
from efficientnet.network import architecture
from efficientnet.network.variants import get_variant
from efficientnet.runtime.preemption import Stop
from efficientnet.training import setup
from efficientnet.training.trainer import Trainer
from efficientnet.weights.families import TIMM


def stage(**fields: Any) -> ConfigDict:
    return common.stage("all", train="all", epochs=1, dropout=0.0, drop_connect=0.0, **fields)


def test_our_variables_come_back_from_timms_names() -> None:
    entries = TIMM.entries(architecture.layers(get_variant("lite0"), 5))
    rng = np.random.default_rng(0)
    variables: dict[str, Any] = {"params": {}, "batch_stats": {}}
    for layer in architecture.layers(get_variant("lite0"), 5):
        for (group, name, leaf), shape in layer.variables.items():
            variables[group].setdefault(name, {})[leaf] = rng.random(shape, np.float32)
    tensors = accuracy.in_timms_names(variables, entries)
    assert tensors["conv_stem.weight"].shape == (32, 3, 3, 3)
    for name, entry in entries.items():
        collection, layer_name, leaf = entry.leaf
        assert tensors[name].shape == entry.shape
        ours = variables[collection][layer_name][leaf]
        np.testing.assert_array_equal(entry.transform.apply(tensors[name]), ours)


@pytest.mark.parametrize(("field", "value"), [("ema_decay", 0.9), ("batch_norm", "trained")])
def test_a_recipe_that_pytorch_would_not_follow_is_refused(
    field: str, value: object, tiny: Callable[..., ConfigDict]
) -> None:
    accuracy.check(common.parse(tiny(stage())))
    with pytest.raises(UserError, match=f"stage 'all' has {field} .*: expected"):
        accuracy.check(common.parse(tiny(stage(**{field: value}))))


def test_a_head_with_batch_norm_is_refused(tiny: Callable[..., ConfigDict]) -> None:
    config = dataclasses.replace(common.parse(tiny(stage())), head_batch_norm=True)
    with pytest.raises(UserError, match="head_batch_norm is True: expected False"):
        accuracy.check(config)


# torchvision's warnings where its own operators are not built.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_both_learn_the_same(tiny: Callable[..., ConfigDict], tmp_path: pathlib.Path) -> None:
    if importlib.util.find_spec("timm") is None:
        pytest.skip("timm is not installed: pip install '.[oracles]'")
    config = tiny(stage(learning_rate=1e-4, weight_decay=0.1))
    config.variant, config.weights = "lite0", "lite_wheel"
    config.resolution = 64
    experiment = setup.prepare(common.parse(config))
    ours = Trainer(experiment, epath.Path(tmp_path), Stop()).run().finished[0].metrics
    theirs = accuracy.Peer(experiment).train(experiment.config.stages[0], first_step=0)
    for split, found in (("validation", ours.validation), ("test", ours.test)):
        for metric in ("loss", "top1"):
            assert theirs[split][metric] == pytest.approx(found[metric], rel=1e-5)

"""The summary of a network against the module, and against figures that are published."""

import jax
import jax.numpy as jnp
import pytest

from efficientnet.config import StageConfig
from efficientnet.network import freeze_groups
from efficientnet.network.model import EfficientNet, init_variables
from efficientnet.network.summary import summarize
from efficientnet.network.variants import Variant, get_variant
from efficientnet.training.steps import count_params

TINY = Variant(width=0.25, depth=0.3, resolution=32, dropout=0.2)

# torchvision's documentation of its weights: their resolution, and 10^9 operations.
PUBLISHED = {
    "b0": (224, 0.386),
    "b1": (240, 0.687),
    "b2": (288, 1.088),
    "b3": (300, 1.827),
    "b4": (380, 4.394),
    "b5": (456, 10.266),
    "b6": (528, 19.068),
    "b7": (600, 37.746),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_multiply_adds_are_the_published_ones(name: str) -> None:
    resolution, expected = PUBLISHED[name]
    found = summarize(get_variant(name), 1000, resolution).multiply_adds
    assert round(found / 1e9, 3) == expected


@pytest.mark.parametrize("padding", ["same", "symmetric"])
def test_outputs_are_those_of_the_module(padding: str) -> None:
    resolution = 45  # odd four times over
    model = EfficientNet(TINY, num_classes=5, padding=padding)
    images = jnp.zeros((1, resolution, resolution, 1))
    _, variables = jax.eval_shape(
        lambda: model.init_with_output(
            jax.random.key(0), images, mutable=["params", "batch_stats", "intermediates"]
        )
    )
    of_module = {name: maps.shape[1:] for name, (maps,) in variables["intermediates"].items()}
    found = {part.name: part.output for part in summarize(TINY, 5, resolution, 1).parts()}
    assert of_module == {name: found[name] for name in of_module}
    assert len(of_module) > 8
    assert found["predictions"] == (5,)


@pytest.mark.parametrize("head_batch_norm", [False, True])
def test_parameters_are_counted_as_in_training(head_batch_norm: bool) -> None:
    model = EfficientNet(TINY, num_classes=5, head_batch_norm=head_batch_norm)
    shapes = jax.eval_shape(lambda: init_variables(model, jax.random.key(0)))
    network = summarize(TINY, 5, 32, head_batch_norm=head_batch_norm)
    for stage in (
        StageConfig("s", "predictions", 1),
        StageConfig("s", "block6-", 1, batch_norm="trained", batch_norm_groups="predictions"),
        StageConfig("s", "all", 1, batch_norm="trained"),
    ):
        counted = count_params(shapes["params"], stage)
        trains = freeze_groups.trainable(stage)
        assert network.trained(trains) == counted.trainable
        assert network.parameters == counted.trainable + counted.frozen
    assert network.statistics == sum(leaf.size for leaf in jax.tree.leaves(shapes["batch_stats"]))
    assert network.bytes == 4 * sum(leaf.size for leaf in jax.tree.leaves(shapes))


def test_groups_and_blocks_hold_every_layer_once() -> None:
    network = summarize(get_variant("b1"), 1000, 240)
    for depth in (0, 2):
        parts = [part for part in network.parts() if part.depth == depth]
        assert sum((part.layers for part in parts), ()) == network.layers
    groups = [part.name for part in network.parts() if part.depth == 0]
    assert tuple(groups) == freeze_groups.GROUPS
    blocks = [part for part in network.parts() if part.depth == 1]
    assert len(blocks) == 23
    assert blocks[0].parameters == 1448

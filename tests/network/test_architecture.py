"""The tables of layers, and that another kind of block is one function away from a network."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest
from trees import leaf_shapes

from efficientnet.inference.export.tensorflow_graph import Graph
from efficientnet.inference.network import Network
from efficientnet.network import architecture
from efficientnet.network.architecture import Conv
from efficientnet.network.model import EfficientNet, init_variables
from efficientnet.network.variants import BlockArgs, Variant, get_variant
from efficientnet.weights import Preprocessing

TINY = Variant(width=0.1, depth=0.1, resolution=32, dropout=0.2)
# Two fused blocks in front, as in EfficientNetV2, and one as before.
FUSED = dataclasses.replace(
    TINY,
    block_args=(
        BlockArgs("fused", repeats=1, kernel=3, stride=1, expand_ratio=1, filters=16),
        BlockArgs("fused", repeats=1, kernel=3, stride=2, expand_ratio=4, filters=24),
        BlockArgs("mbconv", repeats=1, kernel=3, stride=2, expand_ratio=4, filters=40),
    ),
)


def fused(name, args, stride, filters_in, filters, variant):
    """A dense convolution in place of the expansion and the depthwise one (Tan and Le, 2021)."""
    wide = filters_in * args.expand_ratio
    first = filters if args.expand_ratio == 1 else wide
    act = variant.activation
    yield Conv(
        f"{name}_expand_conv", filters_in, first, act, f"{name}_expand_bn", args.kernel, stride
    )
    if args.expand_ratio != 1:
        yield Conv(f"{name}_project_conv", wide, filters, "linear", f"{name}_project_bn")


def test_blocks_are_named_and_chained():
    network = architecture.build(get_variant("b0"))
    blocks = network.blocks
    assert [block.name for block in blocks[:4]] == ["block1a", "block2a", "block2b", "block3a"]
    assert len(blocks) == 16
    convs = [layer for block in blocks for layer in block.layers if isinstance(layer, Conv)]
    for before, after in itertools.pairwise([network.stem, *convs, network.top]):
        assert before.filters == after.filters_in
    assert sum(conv.stride == 2 for conv in convs) == 4


@pytest.mark.parametrize(
    "variant",
    [TINY, dataclasses.replace(TINY, lite=True), FUSED, get_variant("b0"), get_variant("lite0")],
    ids=["tiny", "tiny lite", "fused", "b0", "lite0"],
)
def test_the_tables_have_the_variables_of_the_module(variant, monkeypatch):
    monkeypatch.setitem(architecture.BLOCKS, "fused", fused)
    model = EfficientNet(variant, num_classes=5)
    variables = jax.eval_shape(lambda: init_variables(model, jax.random.key(0)))
    shapes = {
        (collection, layer, leaf): array.shape
        for collection, layers in variables.items()
        for layer, arrays in layers.items()
        for leaf, array in arrays.items()
    }
    assert leaf_shapes(variant, 5) == shapes


def test_another_kind_of_block_is_in_module_and_tensorflow_graph(monkeypatch):
    monkeypatch.setitem(architecture.BLOCKS, "fused", fused)
    model = EfficientNet(FUSED, num_classes=5)
    rng = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: rng.uniform(0.5, 1, leaf.shape).astype(np.float32) * np.sign(leaf + 1e-9),
        init_variables(model, jax.random.key(0)),
    )
    preprocessing = Preprocessing((120.0,) * 3, (60.0,) * 3)
    network = Network(model, variables, preprocessing, tuple("abcde"), 32, "")
    images = rng.integers(0, 256, (2, 32, 32, 3), np.uint8)
    logits = Graph(network).classify(images)["logits"]
    np.testing.assert_allclose(logits, network(images), rtol=1e-4)

"""Every recipe trains two steps, on a tiny network and tiny photos."""

import importlib
import io
import pathlib
from collections.abc import Iterator

import jax
import numpy as np
import pytest
from etils import epath
from jax.sharding import Mesh
from ml_collections import ConfigDict
from PIL import Image

from configs import common
from efficientnet import weights
from efficientnet.errors import UserError
from efficientnet.network import variants
from efficientnet.network.model import EfficientNet, init_variables
from efficientnet.runtime import devices
from efficientnet.runtime.preemption import Stop
from efficientnet.training import setup, start
from efficientnet.training.trainer import Trainer
from efficientnet.weights.conventions import MEAN_STD
from input_pipeline.sources.split import Source, from_encoded

RECIPES = [
    "cars_b0:all",
    "cars_b0:blocks67",
    "cars_b0:thesis",
    "cars_b0:progressive",
    "cars_b0:google",
    "cars_b0_scratch:rgb",
    "cars_b0_scratch:gray",
    "dogs_b0:finetune",
    "dogs_b0:head",
    "dogs_b0:scratch",
    "cifar100_b0:finetune",
    "cifar100_b0:head",
    "cifar100_b0:scratch",
    "cifar100_b0:noisy_student",
    "lesson_b0:finetune",
    "lesson_b0:layerwise",
    "lesson_b0:progressive",
]
TINY = variants.Variant(width=0.1, depth=0.1, resolution=32, dropout=0.2)


def recipe(name: str) -> ConfigDict:
    file, _, arguments = name.partition(":")
    get_config = importlib.import_module(f"configs.{file}").get_config
    return get_config(arguments) if arguments else get_config()


def photos(count: int) -> Source:
    rng = np.random.default_rng(0)
    encoded = []
    for _ in range(count):
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(buffer, format="PNG")
        encoded.append(buffer.getvalue())
    labels = [number % 5 for number in range(count)]
    split = from_encoded(encoded, [f"{number}.png" for number in range(count)], labels)
    return Source("tiny", tuple("abcde"), {"train": split, "test": split})


@pytest.fixture
def quick_compiler() -> Iterator[None]:
    """Two steps are not worth an optimized program."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture
def tiny_world(monkeypatch: pytest.MonkeyPatch, quick_compiler: None) -> None:
    """Puts a tiny network, its weights and tiny photos in place of the real ones."""
    monkeypatch.setitem(variants.VARIANTS, "b0", TINY)
    source = photos(10)
    monkeypatch.setattr(setup.input_pipeline, "load_source", lambda *_, **__: source)
    monkeypatch.setattr(
        devices, "data_mesh", lambda: Mesh(np.asarray(jax.devices()[:1]), ("data",))
    )

    def load_pretrained(name: str, variant: str) -> weights.Pretrained:
        shapes = jax.eval_shape(lambda: init_variables(EfficientNet(TINY), jax.random.key(0)))
        values = jax.tree.map(lambda x: np.full(x.shape, 0.01, np.float32), shapes)
        return weights.Pretrained(
            variant=variant,
            family="keras",
            **values,
            preprocessing=MEAN_STD,
            padding="same",
            bn_epsilon=1e-3,
            num_classes=1000,
            source=name,
        )

    monkeypatch.setattr(start.weights, "load_pretrained", load_pretrained)


# The ways called `head` are the first stages of others.
@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in RECIPES if not name.endswith(":head")])
def test_two_steps(name: str, tiny_world: None, tmp_path: pathlib.Path) -> None:
    config = recipe(name)
    config.batch_size = 8
    config.data.validation_fraction = 0.2  # leaves 8 photos, one step an epoch
    ends = (config.stages[0], config.stages[-1]) if len(config.stages) > 1 else config.stages
    for stage in ends:
        stage.epochs = 2.0 / len(ends)
    config.stages = ends
    progress = Trainer(setup.prepare(common.parse(config)), epath.Path(tmp_path), Stop()).run()
    assert [result.name for result in progress.finished] == [stage.name for stage in ends]
    assert progress.global_step == 2
    assert all(np.isfinite(record.train["loss"]) for record in progress.history)


@pytest.mark.parametrize(
    "name",
    [
        *RECIPES,
        "solar_lite0",
        *(f"cars_lite0:{study}" for study in ("all", "blocks67", "progressive")),
    ],
)
def test_values_are_possible(name: str) -> None:
    setup.check(common.parse(recipe(name)))


@pytest.mark.parametrize("variant", [f"b{number}" for number in range(8)])
def test_any_variant_has_its_own_resolution(variant: str) -> None:
    config = recipe(f"cars_b0:blocks67,{variant}")
    assert (config.variant, config.resolution) == (variant, None)
    assert config.stages[1].name == "blocks67"


def test_progressive_unfreezing_opens_one_group_a_stage() -> None:
    trains = [stage.train for stage in recipe("cars_b0:progressive").stages]
    assert trains[:3] == ["predictions-", "top-", "block7-"]
    assert trains[-1] == "stem-"
    assert len(trains) == 10


def test_googles_recipe_takes_its_ten_thousand_steps() -> None:
    config = recipe("cars_b0:google")
    assert config.stages[0].epochs * 7330 / config.batch_size >= 10_000
    assert config.stages[0].learning_rate == pytest.approx(0.001)


def test_a_word_that_is_no_recipe_is_an_error() -> None:
    with pytest.raises(UserError, match="'b9' after the config's colon: expected one of all"):
        recipe("cars_b0:b9")


def test_a_misspelled_field_is_an_error() -> None:
    with pytest.raises((AttributeError, KeyError), match="learning_rat"):
        common.stage("s", "all", 1, learning_rat=1.0)

"""A run keeps to the commits of the Hugging Face Hub that it began with."""

import dataclasses
import importlib
import io
import pathlib
from collections.abc import Callable, Iterator

import hub_fixture
import hub_server
import jax
import numpy as np
import pytest
import tiny as tiny_run
from etils import epath
from ml_collections import ConfigDict

from configs import common
from efficientnet import weights
from efficientnet.errors import UserError
from efficientnet.network.model import EfficientNet, init_variables
from efficientnet.reporting import report, runs
from efficientnet.training import pinning, workdir
from efficientnet.training.run import run
from efficientnet.weights.conventions import MEAN_STD

Recipe = Callable[..., ConfigDict]
CARD = b"---\nlicense: other\nlicense_name: mine-only\n---\n"


@pytest.fixture
def server(tmp_path: pathlib.Path) -> Iterator[hub_server.Server]:
    with hub_fixture.hub_in(tmp_path / "hf") as server:
        yield server


def photos(seed: int) -> dict[str, bytes]:
    pyarrow, pyarrow_parquet = map(importlib.import_module, ("pyarrow", "pyarrow.parquet"))
    files = {}
    for name, count in (("train", 40), ("test", 12)):
        split = tiny_run.colored_photos(count, seed)
        images = [{"bytes": split.read(number), "path": None} for number in range(count)]
        file = io.BytesIO()
        table = pyarrow.table({"image": images, "label": np.roll(split.labels, seed)})
        pyarrow_parquet.write_table(table, file)
        files[f"data/{name}-00000-of-00001.parquet"] = file.getvalue()
    return files


def published(folder: pathlib.Path, seed: int) -> dict[str, bytes]:
    """A repository of weights for the tiny network."""
    variables = init_variables(EfficientNet(tiny_run.VARIANT, 5), jax.random.key(seed), 3)
    found = weights.Pretrained(
        variant="tiny",
        family="own",
        preprocessing=MEAN_STD,
        padding="same",
        bn_epsilon=1e-3,
        num_classes=5,
        source="mine",
        **jax.tree.map(np.asarray, variables),
    )
    weights.save(found, epath.Path(folder / "own.safetensors"))
    return {"README.md": CARD, "model.safetensors": (folder / "own.safetensors").read_bytes()}


def test_a_run_keeps_to_its_commits(
    tiny: Recipe, server: hub_server.Server, tmp_path: pathlib.Path
) -> None:
    mine = server.add("me/mine", published(tmp_path, 0))
    pets = server.add("me/pets", photos(0), "datasets")
    first, folder = mine.branches["main"], tmp_path / "run"

    def config(epochs: int) -> ConfigDict:
        recipe = tiny(common.stage("head", train="predictions", epochs=epochs))
        recipe.weights, recipe.data.source = "hf:me/mine", "hf:me/pets"
        return common.parse(recipe)

    run(config(1), str(folder))
    kept = runs.read_config(epath.Path(folder))
    assert kept.weights == f"hf:me/mine@{first}"
    assert kept.data.source == f"hf:me/pets@{pets.branches['main']}"
    loaded = runs.load(str(folder))
    origin = loaded.summary.provenance.weights
    assert origin == runs.read_provenance(epath.Path(folder)).weights
    assert (origin.origin, origin.license) == (
        f"hf:me/mine@{first}/model.safetensors",
        "mine-only",
    )
    assert f"{origin.origin}, license: mine-only, SHA-256 {origin.digest}" in (
        folder / report.PAGE
    ).read_text("utf-8")

    mine.commit(published(tmp_path, 1))
    pets.commit(photos(1))
    run(config(2), str(folder))  # as if nothing else had been published
    assert runs.read_config(epath.Path(folder)).weights == kept.weights
    assert runs.read_provenance(epath.Path(folder)).weights == origin
    other = dataclasses.replace(config(2), weights=f"hf:me/mine@{mine.branches['main']}")
    with pytest.raises(UserError, match=f"config.weights was 'hf:me/mine@{first}', is 'hf:me/mine"):
        run(other, str(folder))
    server.down = True
    run(config(3), str(folder))  # from what is on this machine


def test_names_of_timm_are_pinned_too(
    tiny: Recipe, server: hub_server.Server, tmp_path: pathlib.Path
) -> None:
    files = {"README.md": CARD}
    commit = server.add("timm/tf_efficientnet_b0.ns_jft_in1k", files).branches["main"]
    recipe = tiny(common.stage("head", train="predictions", epochs=1))
    recipe.weights = "timm:tf_efficientnet_b0"
    config = common.parse(recipe)
    found = pinning.pinned(config)
    assert found.weights == f"hf:timm/tf_efficientnet_b0.ns_jft_in1k@{commit}"
    assert found.data == config.data
    assert pinning.as_begun(config, found.to_json()) == found
    assert workdir.differences(found.to_json(), config.to_json())
    assert pinning.as_begun(config, config.to_json()) == config

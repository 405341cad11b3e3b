"""The same run on eight devices and on one."""

import json
import pathlib
from collections.abc import Callable

import jax
import numpy as np
import pytest
from jax.sharding import Mesh
from ml_collections import ConfigDict

from configs import common
from efficientnet.runtime import devices
from efficientnet.training.run import run


def numbers(tree: object) -> list[float]:
    """All numbers of a summary but the times."""
    if isinstance(tree, dict):
        return [n for key in sorted(tree) if "second" not in key for n in numbers(tree[key])]
    if isinstance(tree, list):
        return [n for item in tree for n in numbers(item)]
    return [tree] if isinstance(tree, int | float) else []


def test_eight_devices_and_one_give_the_same_result(
    tiny: Callable[..., ConfigDict], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # BatchNorm sees all devices' photos. The rate is low because each step through BatchNorm over
    # eight photos multiplies the rounding errors of the one before.
    config = tiny(
        common.stage("all", train="all", epochs=1, learning_rate=1e-4, batch_norm="trained")
    )
    run(common.parse(config), str(tmp_path / "eight"))
    one = Mesh(np.asarray(jax.devices()[:1]), ("data",))
    monkeypatch.setattr(devices, "data_mesh", lambda: one)
    run(common.parse(config), str(tmp_path / "one"))

    results = [
        numbers(json.loads((tmp_path / name / "summary.json").read_text()))
        for name in ("eight", "one")
    ]
    # A calibration error is a difference of probabilities: small, with their absolute rounding.
    np.testing.assert_allclose(results[0], results[1], rtol=1e-4, atol=3e-4)


def test_batches_are_split_over_the_devices_and_keep_their_order() -> None:
    mesh = devices.data_mesh()
    batches = [{"image": np.full((16, 2), step, np.uint8)} for step in range(5)]
    placed = list(devices.to_devices(iter(batches), mesh))
    assert [int(batch["image"][0, 0]) for batch in placed] == [0, 1, 2, 3, 4]
    assert {shard.data.shape for shard in placed[0]["image"].addressable_shards} == {(2, 2)}

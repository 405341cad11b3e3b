"""Checkpoints in a bucket."""

import dataclasses

import made_up
import numpy as np
import pytest

from benchmarks.saved_runs import read_arrays
from efficientnet.errors import UserError
from efficientnet.records import Progress
from efficientnet.training.checkpoints import Checkpoints


def test_checkpoints_in_a_bucket_come_back_bit_by_bit(bucket):
    folder = bucket.root / "runs/mine/checkpoints"
    folder.mkdir(parents=True)
    values = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    best = dataclasses.replace(made_up.entry("head", 1, {"loss": 0.5}), step=2)
    checkpoints = Checkpoints(folder)
    assert checkpoints.resume() is None
    for step in (1, 2, 3):
        if step < 3:
            checkpoints.save_best("head", step, {"params": {"kernel": values + step}})
        progress = Progress(
            best=dataclasses.replace(best, step=min(step, 2)), history=(best,), step=step
        )
        checkpoints.save_latest(step, {"kernel": values * step}, progress)
    checkpoints.close()

    again = Checkpoints(folder)
    assert again.resume() == Progress(best=best, history=(best,), step=3)
    again.close()
    arrays = read_arrays(folder)
    assert sorted(arrays) == ["best/head/params/kernel", "latest/kernel"]
    np.testing.assert_array_equal(arrays["latest/kernel"], values * 3)
    np.testing.assert_array_equal(arrays["best/head/params/kernel"], values + 2)
    assert {path.name for path in (folder / "latest").iterdir()} == {"2", "3"}


@pytest.mark.parametrize("item", ["progress/metadata", "state/_METADATA", "state/manifest.ocdbt"])
def test_a_checkpoint_that_may_not_be_read_is_not_taken_for_damaged(bucket, item):
    """Else the run would go back, and remove what it could not read."""
    folder = bucket.root / "runs/mine/checkpoints"
    folder.mkdir(parents=True)
    checkpoints = Checkpoints(folder)
    for step in (1, 2):
        state = {"kernel": np.full(3, step, np.float32)}
        checkpoints.save_latest(step, state, Progress(step=step))
    checkpoints.close()
    again = Checkpoints(folder)
    bucket.storage.forbidden = f"latest/2/{item}"
    with pytest.raises(UserError, match=r"latest/2 can't be read now \(.*nothing is changed"):
        again.resume()
    bucket.storage.forbidden = ""
    assert again.resume().step == 2
    del bucket.storage.objects[f"{bucket.root.name}/runs/mine/checkpoints/latest/2/{item}"]
    assert again.resume().step == 1
    again.close()

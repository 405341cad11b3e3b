import json
import sys
import types

import made_up
import numpy as np
import pytest

from benchmarks import saved_runs
from efficientnet import records
from efficientnet.config import RunConfig, StageConfig
from efficientnet.errors import UserError
from efficientnet.training import tensorboard, workdir

CONFIG = RunConfig(stages=(StageConfig("head", "predictions", epochs=1),))


def test_a_workdir_in_a_bucket(bucket):
    folder = workdir.open_workdir(str(bucket.root / "runs" / "cars"), CONFIG)
    with workdir.locked(folder):
        workdir.write_config(folder, CONFIG, made_up.network(("a", "b")))
    assert json.loads((folder / workdir.CONFIG).read_text())["batch_size"] == CONFIG.batch_size
    assert workdir.finished_summary(folder, CONFIG) is None
    records.write(folder / workdir.SUMMARY, made_up.summary())
    assert workdir.open_workdir(str(folder), CONFIG) == folder
    assert workdir.finished_summary(folder, CONFIG) == made_up.summary()
    names = {workdir.CONFIG, workdir.SUMMARY, workdir.NETWORK}
    assert {path.name for path in folder.iterdir()} == names


def test_curves_in_a_bucket_go_on_without_doubled_points(bucket):
    for first in (0, 2):
        opened = tensorboard.TensorBoardWriter(bucket.root / "tensorboard", first)
        for step in range(first + 1, first + 4):
            opened.write_scalars(step, {"train/loss": np.float32(step)})
        opened.close()
    points = saved_runs.read_curves(bucket.root / "tensorboard")
    assert [step for step, _ in points["train/loss"]] == [1, 2, 3, 4, 5]


def test_curves_in_a_bucket_of_which_nothing_stays(bucket):
    """TensorFlow makes no object of a file that nothing was written to."""
    for value in (1, 2):
        opened = tensorboard.TensorBoardWriter(bucket.root / "tensorboard", 0)
        opened.write_scalars(1, {"test/top1": np.float32(value)})
        opened.close()
    assert len(saved_runs.read_curves(bucket.root / "tensorboard")["test/top1"]) == 1


@pytest.mark.usefixtures("bucket")
def test_a_bucket_that_is_not_there_is_named():
    """TensorFlow would ask for it again and again."""
    with pytest.raises(UserError, match="there is no bucket gs://typo, check its name"):
        workdir.open_workdir("gs://typo/runs/mine", CONFIG)


def test_google_s_package_is_asked_for_before_anything_starts(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.cloud.storage", None)
    monkeypatch.setitem(sys.modules, "google.cloud", types.SimpleNamespace())
    with pytest.raises(UserError, match=r"pip install -e '\.\[bucket\]'"):
        workdir.open_workdir("gs://bucket/runs/mine", CONFIG)

"""The real command, killed a few times, ends bit-identical."""

import pathlib
import random

import pytest
from etils import epath

from benchmarks import chaos

pytestmark = pytest.mark.slow


def check(folder: pathlib.Path, workdirs: epath.Path) -> None:
    pytest.importorskip("elpv_dataset")
    result = chaos.chaos(folder, workdirs, kills=3, rng=random.Random(1))
    assert result["kills"] == 3
    assert result["differences"] == []
    assert result["bits_differ"] == 0


def test_a_run_survives_being_killed(tmp_path: pathlib.Path) -> None:
    check(tmp_path, epath.Path(tmp_path))


def test_a_run_in_a_bucket_survives_being_killed(tmp_path: pathlib.Path, bucket) -> None:
    check(tmp_path, bucket.root / "runs")

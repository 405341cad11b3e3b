"""The real command, killed a few times, ends bit-identical."""

import pathlib
import random

import pytest

from scripts import chaos


@pytest.mark.slow
def test_a_run_survives_being_killed(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("elpv_dataset")
    result = chaos.chaos(tmp_path, kills=3, rng=random.Random(1))
    assert result["kills"] == 3
    assert result["differences"] == []
    assert result["bits_differ"] == 0

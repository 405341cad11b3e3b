"""Learning rates against numbers computed by hand."""

import math

import numpy as np
import pytest

from efficientnet.config import StageConfig
from efficientnet.errors import UserError
from efficientnet.training.optim import make_schedule


def rates(steps: int, per_epoch: float, **fields: object) -> np.ndarray:
    schedule = make_schedule(StageConfig("s", "all", 1, **fields), steps, per_epoch)
    return np.array([float(schedule(step)) for step in range(steps)])


def test_constant_after_a_linear_warm_up() -> None:
    found = rates(6, 2.0, learning_rate=0.8, schedule="constant", warmup_epochs=2.0)
    np.testing.assert_allclose(found, [0.2, 0.4, 0.6, 0.8, 0.8, 0.8], rtol=1e-6)


def test_cosine_falls_to_zero_over_what_the_warm_up_leaves() -> None:
    found = rates(6, 1.0, learning_rate=1.0, schedule="cosine", warmup_epochs=2.0)
    after = [(1 + math.cos(math.pi * step / 4)) / 2 for step in range(4)]
    np.testing.assert_allclose(found, [0.5, 1.0, *after], atol=1e-6)


def test_step_is_the_staircase_of_exponential() -> None:
    fields = {"learning_rate": 1.0, "decay_rate": 0.5, "decay_epochs": 2.0}
    smooth = rates(8, 2.0, schedule="exponential", **fields)
    np.testing.assert_allclose(smooth, [0.5 ** (step / 4) for step in range(8)], rtol=1e-6)
    stairs = rates(8, 2.0, schedule="step", **fields)
    np.testing.assert_allclose(stairs, [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5], rtol=1e-6)


def test_the_papers_rate_is_decayed_from_the_beginning() -> None:
    found = rates(
        20, 1.0, learning_rate=0.256, schedule="step", warmup_epochs=5.0, decay_epochs=2.4
    )
    assert found[4] == pytest.approx(0.256)
    assert found[5] == pytest.approx(0.256 * 0.97**2)
    assert found[12] == pytest.approx(0.256 * 0.97**5)


def test_bad_values_are_named() -> None:
    with pytest.raises(UserError, match="schedule 'linear': expected one of constant"):
        rates(1, 1.0, schedule="linear")
    with pytest.raises(UserError, match=r"learning_rate 0\.0: expected more than 0"):
        rates(1, 1.0, learning_rate=0.0)

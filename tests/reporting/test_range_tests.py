"""What a range test suggests, of losses that are known."""

import numpy as np
import pytest

from efficientnet.records import RangeTest
from efficientnet.reporting import range_tests

RATES = np.geomspace(1e-6, 10, 100).tolist()
GUESSING = 2.0
SEVENTH = 7.0  # the margin


def losses(start: float, worse_at: float, noise: float = 0.0) -> list[float]:
    """Losses from `start` on, that rise tenfold with the rate and are 1.5 * guessing at one."""
    drawn = np.random.default_rng(0).normal(0, noise, len(RATES))
    rising = 1.5 * GUESSING + 2 * GUESSING * np.log10(np.divide(RATES, worse_at))
    return (np.maximum(start, rising) + drawn).tolist()


@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("worse_at", [1e-3, 3e-2, 1.0])
@pytest.mark.parametrize("start", [0.5, GUESSING])
def test_the_suggestion_is_a_seventh_of_the_rate_that_is_worse_than_guessing(
    start: float, worse_at: float, noise: float
) -> None:
    found = range_tests.suggestion(RATES, losses(start, worse_at, noise), GUESSING, False, SEVENTH)
    assert found is not None
    assert 0.5 < found / (worse_at / 7) < 1.6
    assert found == float(f"{found:.2g}")


def test_more_steps_and_fine_tuning_need_more_margin() -> None:
    margins = [range_tests.margin(number, False) for number in (1, 500, 1000, 10**5)]
    assert margins == pytest.approx([4, 7, 7 * 2**0.5, 15])
    assert range_tests.margin(500, True) == pytest.approx(14)


def test_losses_beyond_all_bounds_change_little() -> None:
    plain = losses(1.0, 3e-2)
    wild = [1e30 if loss > 2 * GUESSING else loss for loss in plain]
    one, other = (
        range_tests.suggestion(RATES, each, GUESSING, True, SEVENTH) for each in (plain, wild)
    )
    assert one == other


def test_a_loss_that_jumps_out_of_all_bounds_ends_the_test() -> None:
    flat = [1.0] * 60
    found = range_tests.suggestion(RATES[:60], flat, GUESSING, True, SEVENTH)
    assert found == pytest.approx(RATES[59] / 7, rel=0.05)


def test_a_network_worse_than_guessing_is_measured_by_its_own_loss() -> None:
    found = range_tests.suggestion(RATES, losses(3 * GUESSING, 1e-3), GUESSING, False, SEVENTH)
    assert found is not None
    assert found > 1e-3 / 7


def test_where_no_rate_is_too_high_the_lowest_loss_counts() -> None:
    easy = (1.0 + 0.1 * np.abs(np.log10(np.divide(RATES, 0.03)))).tolist()
    found = range_tests.suggestion(RATES, easy, GUESSING, False, SEVENTH)
    assert found == pytest.approx(0.03, rel=0.1)


def test_where_every_rate_is_too_high_there_is_no_suggestion() -> None:
    assert range_tests.suggestion(RATES[:5], [1.0] * 5, GUESSING, True, SEVENTH) is None


def test_the_plot_shows_every_step_and_the_suggestion() -> None:
    measured = losses(1.0, 1e-2, 0.1)
    test = RangeTest(rates=tuple(RATES), losses=tuple(measured), guessing=GUESSING, suggestion=2e-3)
    (panel,) = range_tests.draw(test, "head").axes
    lines = {line.get_label(): line for line in panel.get_lines()}
    np.testing.assert_allclose(lines["each step"].get_ydata(), measured)
    curve = range_tests.smoothed(measured, GUESSING)
    np.testing.assert_allclose(lines["smoothed"].get_ydata(), curve)
    assert list(lines["suggestion: 0.002"].get_xdata()) == [2e-3, 2e-3]
    assert list(lines["guessing"].get_ydata()) == [GUESSING, GUESSING]
    assert panel.get_xscale() == "log"

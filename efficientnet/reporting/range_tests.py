"""What a learning rate range test tells: a suggestion, and the plot that it can be seen in."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from efficientnet.records import RangeTest
from efficientnet.reporting.plots import plain

START = 10  # steps whose rates are too low to change anything
SMOOTHED_OVER = 3.0  # steps: the standard deviation of a Gaussian
WORSE = 1.5  # ratio of a loss to that of guessing, above which a network has lost what it knew


def margin(num_steps: int, fine_tunes: bool) -> float:
    """Returns the ratio of the rate at which that happens to the rate to train with.

    The rate falls with the square root of the number of steps, as the best constant rate of
    stochastic gradient descent does (Nemirovski et al. 2009, section 2.2), within what was tried.
    It is halved to fine-tune more than the classifier, because features that are lost stay lost.
    """
    return min(max(7 * math.sqrt(num_steps / 500), 4.0), 15.0) * (2 if fine_tunes else 1)


def smoothed(losses: Sequence[float], guessing: float) -> np.ndarray:
    """Returns the losses, each averaged with those of its neighbors, [steps].

    Losses above twice that of guessing count as this, so that the few beyond all bounds leave their
    neighbors as they are.
    """
    values = np.minimum(losses, 2 * max(guessing, *losses[:START]))
    steps = np.arange(len(values))
    weights = np.exp(-0.5 * (np.subtract.outer(steps, steps) / SMOOTHED_OVER) ** 2)
    return weights @ values / weights.sum(axis=1)


def suggestion(
    rates: Sequence[float],
    losses: Sequence[float],
    guessing: float,
    diverged: bool,
    margin: float,
) -> float | None:
    """Returns the learning rate to train with, of two digits; None if even the lowest are too high.

    It is a `margin` below the highest rate before the smoothed loss is for good above that of
    guessing, or of the first steps. Where the loss begins to rise would be no guide: good rates to
    fine-tune with make it rise for a while. Only if no rate destroys the network, as on photos that
    are easily told apart, it is the rate with the lowest smoothed loss.

    Args:
      rates: of the steps.
      losses: of the steps, all finite.
      guessing: the loss of giving all classes the same probability.
      diverged: the loss of the step after these is beyond all bounds.
      margin: see `margin`.
    """
    if len(losses) <= START:
        return None
    curve = smoothed(losses, guessing)
    bearable = np.flatnonzero(curve <= WORSE * max(guessing, curve[0]))
    limited = diverged or bearable[-1] < len(curve) - 1
    rate = rates[bearable[-1]] / margin if limited else rates[int(curve.argmin())]
    return float(f"{rate:.2g}")


def draw(test: RangeTest, title: str) -> Figure:
    """Plots the loss over the learning rate, with the suggestion.

    Args:
      test: what was measured.
      title: such as the name of the stage.
    """
    figure = Figure(figsize=(5.4, 3.6), layout="constrained")
    panel = figure.subplots()
    panel.axhline(test.guessing, color="0.4", linewidth=1, linestyle=":", label="guessing")
    panel.plot(test.rates, test.losses, ".", color="0.7", label="each step")
    panel.plot(test.rates, smoothed(test.losses, test.guessing), color="C0", label="smoothed")
    panel.axvline(
        test.suggestion, color="C1", linestyle="--", label=f"suggestion: {test.suggestion:.2g}"
    )
    panel.set_xscale("log")
    # The losses of the last rates would leave no room for the others.
    panel.set_ylim(0, 1.7 * max(test.guessing, *test.losses[:START]))
    panel.set(xlabel="learning rate", ylabel="training loss", title=title)
    panel.legend(frameon=False, fontsize="small", loc="upper left")
    plain(panel)
    return figure

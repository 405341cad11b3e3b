"""Curves of one run and of several."""

import dataclasses
import pathlib

import made_up
import numpy as np

from efficientnet.metrics import METRICS
from efficientnet.records import StageMetrics
from efficientnet.reporting import curves


def test_curves_show_the_weights_that_count_and_mark_the_stages(tmp_path: pathlib.Path) -> None:
    run = made_up.run(tmp_path)
    (panel,) = curves.of_run(run.history, run.stages, [METRICS["top3"]]).axes
    lines = {line.get_label(): line.get_xydata() for line in panel.get_lines()}
    late = run.stages[1].metrics.test["top3"]
    np.testing.assert_allclose(lines["all, validation"], [(3, late + 0.1), (4, late + 0.1)])
    np.testing.assert_allclose(lines["all, training"], [(3, late), (4, late)])
    np.testing.assert_allclose(lines["all, test of the best weights"], [(4, late)])
    boundaries = [line for line in panel.get_lines() if list(line.get_xdata()) == [2.5, 2.5]]
    assert len(boundaries) == 1


def test_the_test_result_stands_at_its_epoch_where_epochs_share_a_step() -> None:
    values = {"top1": 0.5}
    history = [made_up.entry("a", epoch, values) for epoch in (2, 4, 6)]
    stages = [made_up.result("a", StageMetrics(test=values, validation=values), best_epoch=4)]
    (panel,) = curves.of_run(history, stages, [METRICS["top1"]]).axes
    lines = {line.get_label(): line.get_xydata() for line in panel.get_lines()}
    np.testing.assert_allclose(lines["a, test of the best weights"], [(2, 0.5)])


def test_a_rate_that_a_plateau_lowered_falls_below_the_loss_of_its_epoch() -> None:
    values = {"loss": 0.5}
    stages = [made_up.result("a", StageMetrics(test=values, validation=values))]
    history = [
        dataclasses.replace(made_up.entry("a", epoch, values, rate), lr_scale=rate)
        for epoch, rate in enumerate((1.0, 1.0, 0.1), 1)
    ]
    figure = curves.of_run(history, stages, [METRICS["loss"], None])
    loss, rate = figure.axes
    assert loss.get_shared_x_axes().joined(loss, rate)
    ((values, edges, _),) = [patch.get_data() for patch in rate.patches]
    np.testing.assert_allclose(values, [1.0, 1.0, 0.1])
    np.testing.assert_allclose(edges, [0.5, 1.5, 2.5, 3.5])
    assert rate.get_yscale() == "log"
    for panel in figure.axes:
        dashed = [line for line in panel.get_lines() if line.get_linestyle() == "--"]
        assert [list(line.get_xdata()) for line in dashed] == [[2.5, 2.5]]


def test_runs_are_drawn_with_their_rates(tmp_path: pathlib.Path) -> None:
    runs = {
        name: [made_up.entry("a", epoch, {"top1": 0.5}, rate) for epoch in (1, 2)]
        for name, rate in (("slow", 0.01), ("fast", 0.02))
    }
    accuracy, rate = curves.of_runs(runs, [METRICS["top1"], None]).axes
    assert {line.get_label() for line in accuracy.get_lines()} == {
        *("slow", "slow, training"),
        *("fast", "fast, training"),
    }
    assert [patch.get_data().values.tolist() for patch in rate.patches] == [[0.01] * 2, [0.02] * 2]
    assert rate.get_yscale() == "linear"


def test_what_is_plotted_depends_on_the_classes_and_on_what_was_recorded() -> None:
    history = [made_up.entry("a", 1, {"top1": 0.5})]
    assert list(curves.pictures(2, history).values()) == [
        [METRICS["top1"]],
        [METRICS["loss"], None],
    ]
    earlier = [dataclasses.replace(history[0], learning_rate=None)]
    assert list(curves.pictures(196, earlier).values()) == [
        [METRICS[name] for name in ("top1", "top3", "top5")],
        [METRICS["loss"]],
    ]

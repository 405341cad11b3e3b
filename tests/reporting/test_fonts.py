"""Names in letters that the font of pictures lacks; drawn, each would be a box and a warning."""

import dataclasses
import pathlib

import made_up
import numpy as np
import pages
import pytest

from efficientnet.metrics import METRICS
from efficientnet.records import StageMetrics
from efficientnet.reporting import fonts, plots, predictions, report, scores

NAMES = ("玫瑰", "Rose", "🌹", "Tulpe für $1")


@pytest.fixture(autouse=True)
def not_said_yet() -> None:
    fonts._warn.cache_clear()


def test_names_that_can_not_be_drawn_are_numbers_and_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for _ in range(2):
        assert fonts.drawable(NAMES) == ["0", "Rose", "2", "Tulpe für $1"]
    assert caplog.messages == [
        "plots show names like 玫瑰, which their font can't draw, as numbers from 0"
    ]


def test_every_picture_with_such_names_is_drawn(caplog: pytest.LogCaptureFixture) -> None:
    found = dataclasses.replace(made_up.predict(4, 20), class_names=NAMES)
    worst = scores.worst_photos(found, 3)
    values = {"top1": 0.5}
    history = [made_up.entry("头", 1, values)]
    metrics = StageMetrics(test=values, validation=values)
    stages = [made_up.result("头", metrics, best_epoch=1)]
    for figure in (
        plots.confusion_matrix(scores.confusion(found), NAMES),
        plots.photo_grid(found, worst, np.zeros((len(worst), 8, 8, 1), np.uint8)),
        plots.mistakes(np.eye(4, dtype=bool), NAMES),
        plots.curves(history, stages, METRICS["top1"]),
        plots.overlaid_curves({"花": history}, METRICS["top1"]),
    ):
        plots.pixels(figure)
    assert len(caplog.messages) == 3  # of classes, of the stage and of the run


def test_the_page_has_the_names_with_their_numbers(tmp_path: pathlib.Path) -> None:
    run = made_up.run(tmp_path, 4)
    for stage in made_up.STAGES:
        found = dataclasses.replace(run.predictions(stage), class_names=NAMES)
        predictions.save(run.folder / "predictions" / f"{stage}.npz", found)
    report.write_report(run, made_up.split(found))
    page = pages.assert_self_contained((tmp_path / report.PAGE).read_bytes())
    assert "玫瑰 (0)" in page.text
    assert "🌹 (2)" in page.text

"""Names in letters that the font of pictures lacks; drawn, each would be a box and a warning."""

import base64
import dataclasses
import html
import pathlib
import re
from xml.etree import ElementTree

import made_up
import numpy as np
import pages
import pytest
from matplotlib.figure import Figure
from odd_names import ODD

from efficientnet.metrics import METRICS
from efficientnet.paths import printable
from efficientnet.records import StageMetrics
from efficientnet.reporting import (
    class_counts,
    curves,
    fonts,
    grids,
    plots,
    predictions,
    report,
    scores,
)
from efficientnet.reporting.pages import drawing

PANELS = (METRICS["top1"], None)
NAMES = ("玫瑰", "Rose", "🌹", "Tulpe für $1")


@pytest.fixture(autouse=True)
def not_said_yet() -> None:
    fonts._warn.cache_clear()


def test_names_that_can_not_be_drawn_are_numbers_and_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for _ in range(2):
        assert fonts.drawable(NAMES) == ["0", "Rose", "2", r"Tulpe für \$1"]
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
        class_counts.picture({"train": [9, 2, 2, 2]}, NAMES),
        plots.photo_grid(found, worst, np.zeros((len(worst), 8, 8, 1), np.uint8)),
        plots.mistakes(np.eye(4, dtype=bool), NAMES, np.arange(4), NAMES),
        curves.of_run(history, stages, PANELS),
        curves.of_runs({"花": history}, PANELS),
    ):
        plots.pixels(figure)
    assert len(caplog.messages) == 3  # of classes, of the stage and of the run


def test_the_page_has_the_names_with_their_numbers(tmp_path: pathlib.Path) -> None:
    run = made_up.run(tmp_path, 4)
    for stage in made_up.STAGES:
        found = dataclasses.replace(run.predictions(stage), class_names=NAMES)
        predictions.save(run.folder / "predictions" / f"{stage}.npz", found)
    report.write_report(run, made_up.splits(found))
    page = pages.assert_self_contained((tmp_path / report.PAGE).read_bytes())
    assert "玫瑰 (0)" in page.text
    assert "🌹 (2)" in page.text
    assert "Tulpe für $1" in page.text
    assert "Tulpe für $1 (" not in page.text


def texts(figure: Figure) -> list[str]:
    """The texts of a picture as they are drawn; its SVG has them in comments beside the letters."""
    content = base64.b64decode(drawing(figure).partition(",")[2]).decode()
    ElementTree.fromstring(content)
    return [html.unescape(text) for text in re.findall(r"<!-- (.*?) -->", content, re.DOTALL)]


@pytest.mark.parametrize("name", ODD)
def test_pictures_show_odd_names_as_they_are(name: str) -> None:
    history = [made_up.entry("head", 1, {"top1": 0.5})]
    point = {"config.data.directory": name}
    grid = {"config.data.directory": [name, "plain"], "config.seed": ["1"]}
    results = {grids.name_of({**point, "config.seed": "1"}): 0.5}
    shown = printable(name).replace("--", "- -")
    for figure in (
        plots.confusion_matrix(np.eye(2, dtype=int), [name, "other"]),
        plots.mistakes(np.eye(2, dtype=bool), [name, "other"], np.arange(2), [name, "other"]),
        class_counts.picture({"train": [9, 2, 2]}, [name, "other", "third"]),
        curves.of_runs({name: history, "other": history}, PANELS),
        grids.plot("test.top1", grid, results),
    ):
        drawn = " ".join(texts(figure))
        if fonts.can_draw(name):
            assert shown[:10] in drawn
            assert shown[-9:] in drawn
        else:
            assert " 0" in drawn
        plots.pixels(figure)


def test_long_names_lose_their_middle() -> None:
    assert fonts.drawable(["x" * 24, "a" * 300 + "z" * 300, "y"], letters=24) == [
        "x" * 24,
        "a" * 12 + "…" + "z" * 11,
        "y",
    ]


def test_names_have_as_many_lines_as_there_is_room_for() -> None:
    names = ["Chevrolet Silverado 1500 Extended Cab 2012", "x" * 60, "US$ 1", "a" * 20]
    assert fonts.drawable(names, letters=24, lines=2) == [
        "Chevrolet Silverado 1500\nExtended Cab 2012",
        f"{'x' * 24}\n…{'x' * 23}",
        r"US\$ 1",
        "a" * 20,
    ]


def test_pages_show_odd_names_as_text(tmp_path: pathlib.Path) -> None:
    run = made_up.run(tmp_path, len(ODD))
    found = run.predictions("all")
    names = tuple(f"{number} {name}" for number, name in enumerate((ODD * 4)[: len(found.names)]))
    found = dataclasses.replace(found, class_names=ODD, names=names)
    for stage in made_up.STAGES:
        predictions.save(run.folder / "predictions" / f"{stage}.npz", found)
    report.write_report(run, made_up.splits(found))
    page = pages.assert_self_contained((tmp_path / report.PAGE).read_bytes())
    for name in ODD:
        assert printable(name) in page.text
    assert '\n  "seed": 0,' in page.text  # the recipe keeps its lines

"""The page of a run, for few and for many classes."""

import dataclasses
import pathlib
import re

import made_up
import pages
import pytest

from efficientnet.reporting import predictions, report


@pytest.mark.parametrize("classes", [2, 196])
def test_the_page_stands_alone(tmp_path: pathlib.Path, classes: int) -> None:
    run = made_up.run(tmp_path, classes)
    last = run.predictions("all")
    report.write_report(run, made_up.splits(last))
    assert [path.name for path in (tmp_path / "report").iterdir()] == ["index.html"]
    page = pages.assert_self_contained((tmp_path / report.PAGE).read_bytes())

    # Names are text, whatever they look like.
    assert "<b>$class$ & 1" in page.text
    worst = [name for name in last.names if name in page.text]
    assert 0 < len(worst) <= 24
    for words in ("1,234,567", "61", "12.3", "8 x cpu", "100 photos for training", "jax 0"):
        assert words in page.text
    assert f"{100 * run.stages[1].metrics.test['top1']:.1f} %" in page.text
    assert ("Hardest classes" in page.text) == (classes > 10)
    for average in ("macro", "weighted"):
        assert f"{100 * run.result.metrics.test[f'precision_{average}']:.1f} %" in page.text
    assert f"{180 / classes:,.1f} on average" in page.text  # of three splits of 60 photos
    assert page.text.count('"learning_rate"') == 2


def test_the_page_says_where_the_results_come_from(tmp_path: pathlib.Path) -> None:
    run = made_up.run(tmp_path)
    assert (run.run_id, run.commit) == ("-", "-")  # an earlier version finished it
    origin = made_up.provenance()
    changed = dataclasses.replace(origin.environments[1], clean=False)
    origin = dataclasses.replace(origin, environments=(origin.environments[0], changed))
    run = dataclasses.replace(run, summary=dataclasses.replace(run.summary, provenance=origin))
    assert (run.run_id, run.commit) == (origin.run_id, "abc123, abc123+")
    report.write_report(run, made_up.splits(run.predictions("all")))
    page = pages.assert_self_contained((tmp_path / report.PAGE).read_bytes())
    for words in (
        origin.run_id,
        "commit abc123, with changes that are not committed",
        "once, last " + origin.starts[1].date,
        "Every start",
        "jax 0.10 (before: 0.9)",
        "numpy 2.4.",
        "b3cac278, a digest of class names",
    ):
        assert words in page.text
    assert page.text.count(origin.commands[0]) == 3


def test_a_run_without_mistakes_says_so(tmp_path: pathlib.Path) -> None:
    run = made_up.run(tmp_path, margin=99.0)
    report.write_report(run, made_up.splits(run.predictions("all")))
    page = pages.assert_self_contained((tmp_path / report.PAGE).read_bytes())
    assert "Every test photo was classified correctly." in page.text
    assert "No two classes were confused." in page.text


def test_weights_that_were_picked_on_the_test_photos_are_said_to_be(tmp_path: pathlib.Path) -> None:
    run = made_up.run(tmp_path)
    result = dataclasses.replace(run.result, selected_on="test")
    summary = dataclasses.replace(run.summary, stages=(run.stages[0], result))
    run = dataclasses.replace(run, summary=summary)
    report.write_report(run, made_up.splits(run.predictions("all")))
    assert b"chosen on the test photos themselves" in (tmp_path / report.PAGE).read_bytes()


@pytest.mark.parametrize(("head", "last", "cautious"), [(0.8, 0.7, True), (0.7, 0.7, False)])
def test_a_last_stage_that_validates_worse_is_said_to(
    tmp_path: pathlib.Path, head: float, last: float, cautious: bool
) -> None:
    run = made_up.run(tmp_path)
    stages = tuple(
        dataclasses.replace(
            stage,
            metrics=dataclasses.replace(
                stage.metrics, validation=stage.metrics.validation | {"top1": top1}
            ),
        )
        for stage, top1 in zip(run.stages, (head, last), strict=True)
    )
    run = dataclasses.replace(run, summary=dataclasses.replace(run.summary, stages=stages))
    report.write_report(run, made_up.splits(run.predictions("all")))
    page = (tmp_path / report.PAGE).read_text("utf-8")
    assert ("all, validates worse than head (Top-1 70.00% after 80.00%)" in page) == cautious
    assert ("--stage=head" in run.caution) == cautious


def test_names_from_right_to_left_keep_their_direction_to_themselves(
    tmp_path: pathlib.Path,
) -> None:
    run = made_up.run(tmp_path)
    names = ("שושנה", "وردة", "rose")
    for stage in made_up.STAGES:
        found = dataclasses.replace(run.predictions(stage), class_names=names)
        predictions.save(run.folder / "predictions" / f"{stage}.npz", found)
    report.write_report(run, made_up.splits(found))
    page = (tmp_path / report.PAGE).read_text("utf-8")
    for name in names[:2]:
        for place in re.finditer(name, page):
            start, end = place.span()
            alone = page[start - 1] == ">" and page[end] == "<"
            assert alone, page[start - 40 : end + 40]
        assert f"<bdi>{name}</bdi>, " in page  # with a probability behind it
    assert re.search("<bdi>(?:שושנה|وردة)</bdi> [(]", page)  # with a number of photos


def test_a_report_in_a_bucket(bucket) -> None:
    folder = bucket.root / "runs" / "cars"
    run = made_up.run(folder)
    report.write_report(run, made_up.splits(run.predictions("all")))
    pages.assert_self_contained((folder / report.PAGE).read_bytes())

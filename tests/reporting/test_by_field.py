"""Results of runs by the values of config fields."""

import pathlib
from typing import Any

import made_up
import numpy as np
import pages
import pytest
from etils import epath

from efficientnet import records
from efficientnet.errors import UserError
from efficientnet.records import SplitIdentity
from efficientnet.reporting import by_field
from efficientnet.reporting.by_field import Point, Results

DECAY, DROPOUT = "config.stages[1].weight_decay", "config.stages[1].dropout"


def made(folder: pathlib.Path, name: str, **choices: Any) -> str:
    made_up.run(folder / name, **choices)
    return str(folder / name)


def results(*points: tuple[str, tuple[Any, ...], float], fields: int = 1) -> Results:
    return Results(
        (DECAY, DROPOUT)[:fields],
        "validation.top1",
        tuple(Point(f"run{n}", *point) for n, point in enumerate(points)),
        (),
    )


def test_runs_are_read_with_their_values(tmp_path: pathlib.Path) -> None:
    paths = [
        made(tmp_path, "a", weight_decay=0.1),
        made(tmp_path, "b", weights="", seed=1, dropout=0.5),
    ]
    found = by_field.read(paths, ["stages[1].weight_decay", DROPOUT, DECAY], "test.top1")
    assert found.fields == (DECAY, DROPOUT), "a field that is named twice counts once"
    tops = [made_up.runs.load(path).result.metrics.test["top1"] for path in paths]
    assert found.points == (
        Point("a", "pretrained", (0.1, None), tops[0]),
        Point("b", "from scratch", (0.0, 0.5), tops[1]),
    )


def test_runs_without_results_or_without_the_field_are_left_out(tmp_path: pathlib.Path) -> None:
    good, begun = made(tmp_path, "good"), made(tmp_path, "begun")
    (tmp_path / "begun" / "summary.json").unlink()
    found = by_field.read([begun, good], [DECAY], "validation.top1")
    assert [point.run for point in found.points] == ["good"]
    assert found.left_out == (
        f"the run in {begun} is not finished: first run its command to the end",
    )
    message = rf"no run is left to compare: the run in {good} has no config.stages\[7\].dropout: "
    with pytest.raises(UserError, match=message):
        by_field.read([good], ["config.stages[7].dropout"], "validation.top1")
    with pytest.raises(UserError, match=r"is not a run's workdir"):
        by_field.read([str(tmp_path)], [DECAY], "validation.top1")


def test_runs_that_were_tested_on_other_photos_are_refused(tmp_path: pathlib.Path) -> None:
    paths = [made(tmp_path, name) for name in "abc"]
    for path, digest in zip(paths[1:], ("x", "y"), strict=True):
        test = {"test": SplitIdentity(photos=60, digest=digest)}
        records.write(epath.Path(path) / "network.json", made_up.network(("a", "b"), test))
    by_field.read(paths[:2], [DECAY], "validation.top1")  # a's photos are not known
    with pytest.raises(UserError, match=r"b and .*c were tested on different photos"):
        by_field.read(paths[1:], [DECAY], "validation.top1")


def test_each_value_has_a_row_for_each_kind_of_weights_and_for_all() -> None:
    found = results(
        ("pretrained", (0.01,), 0.9),
        ("pretrained", (0.01,), 0.8),
        ("from scratch", (0.3,), 0.5),
        ("from scratch", (0.01,), 0.4),
    )
    _, rows = by_field.table(found, 0)
    assert rows == [
        ("pretrained", "0.01", "2", "85.0 %", "80.0 %", "90.0 %"),
        ("from scratch", "0.01", "1", "40.0 %", "40.0 %", "40.0 %"),
        ("from scratch", "0.3", "1", "50.0 %", "50.0 %", "50.0 %"),
        ("all", "0.01", "3", "70.0 %", "40.0 %", "90.0 %"),
        ("all", "0.3", "1", "50.0 %", "50.0 %", "50.0 %"),
    ]
    _, rows = by_field.table(results(("pretrained", ("b0",), 0.9)), 0)
    assert [row[0] for row in rows] == ["pretrained"]


@pytest.mark.parametrize(
    ("values", "scale", "places"),
    [
        ((0.2, 0.1), "linear", [0.1, 0.2]),
        ((0.1, 0.001), "log", [0.001, 0.1]),
        ((0.1, 0.0, 0.001), "symlog", [0.0, 0.001, 0.1]),
        ((0.5, None, 0.0), "linear", [0, 1, 2]),
        ((True, False), "linear", [0, 1]),
        (("noisy_student", ""), "linear", [0, 1]),
    ],
)
def test_numbers_have_a_numeric_axis_and_all_else_are_categories(
    values: tuple[Any, ...], scale: str, places: list[float]
) -> None:
    found = results(*(("pretrained", (value,), n / 10) for n, value in enumerate(values)))
    (panel,) = by_field.picture(found, 0).axes
    assert panel.get_xscale() == scale
    runs, means = panel.get_lines()
    assert sorted(runs.get_xdata()) == places
    assert list(means.get_xdata()) == places
    by_place = dict(zip(*runs.get_data(), strict=True))
    assert dict(zip(*means.get_data(), strict=True)) == by_place


def test_a_point_for_each_run_and_a_mean_for_each_value() -> None:
    found = results(("pretrained", (1,), 0.2), ("pretrained", (1,), 0.4), ("pretrained", (2,), 0.5))
    (panel,) = by_field.picture(found, 0).axes
    runs, means = (line.get_xydata().tolist() for line in panel.get_lines())
    assert runs == [[1, 0.2], [1, 0.4], [2, 0.5]]
    np.testing.assert_allclose(means, [[1, 0.3], [2, 0.5]])


def test_two_fields_make_a_heat_map() -> None:
    found = results(
        ("pretrained", (0.0, 0.1), 0.2),
        ("pretrained", (0.0, 0.1), 0.4),
        ("pretrained", (0.5, 0.2), 0.9),
        fields=2,
    )
    ((group, figure),) = by_field.heat_maps(found)
    (panel,) = figure.axes
    assert group == "pretrained"
    shown = {text.get_position(): text.get_text() for text in panel.texts}
    assert shown == {(0, 0): "30.0 %", (1, 1): "90.0 %"}


def test_the_page_stands_alone(tmp_path: pathlib.Path) -> None:
    paths = [made(tmp_path, f"{n}", weight_decay=n / 10, seed=n) for n in range(3)]
    found = by_field.read([*paths, made(tmp_path, "s", weights="")], [DECAY, DROPOUT], "test.loss")
    by_field.write_page(epath.Path(tmp_path / "page"), found)
    page = pages.assert_self_contained((tmp_path / "page" / by_field.PAGE).read_bytes())
    assert page.tags.count("img") == 2 + 3  # a picture for each field, a heat map for each group
    losses = sorted(point.result for point in found.points)
    places = [page.text.rindex(f"{loss:.3f}") for loss in losses]
    assert places == sorted(places), "the best run stands first"

"""The tables and pictures of a finished run."""

import pathlib

import numpy as np
import pytest
from etils import epath

from efficientnet import reporting
from efficientnet.reporting import plots


def metrics(top1: float) -> dict[str, float]:
    return {"top1": top1, "top3": 0.9, "top5": 1.0, "loss": 1 - top1}


def stage(name: str, confusion: list[list[int]], selected_on: str) -> dict:
    return {
        "name": name,
        "metrics": {"test": metrics(0.5)},
        "parameters": {"trainable": 1234567, "frozen": 1},
        "seconds": 61.4,
        "images_per_second": 12.34,
        "selected_on": selected_on,
        "confusion": confusion,
    }


HISTORY = [
    {
        "stage": name,
        "train": metrics(0.2),
        "validation": metrics(value),
        "validation_ema": metrics(value + 0.1),
        "chosen": "validation_ema",
    }
    for name, value in (("head", 0.3), ("head", 0.4), ("all", 0.6))
]


def test_a_report_has_curves_and_a_matrix_for_each_stage(tmp_path: pathlib.Path) -> None:
    stages = [stage(name, [[3, 1], [0, 4]], "photos held out") for name in ("head", "all")]
    reporting.write_report(epath.Path(tmp_path / "report"), HISTORY, stages, ["cat", "dog"])
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        "curves.png",
        "confusion_head.png",
        "confusion_all.png",
    }


def test_curves_show_the_weights_that_count_and_mark_the_stages() -> None:
    figure = plots.curves(HISTORY, "photos held out of training")
    accuracy = figure.axes[0]
    lines = {line.get_label(): line.get_ydata() for line in accuracy.get_lines()}
    np.testing.assert_allclose(lines["head, validation"], [0.4, 0.5])
    np.testing.assert_allclose(lines["all, train"], [0.2])
    assert "held out of training" in figure.get_suptitle()


def test_few_classes_are_counted_in_their_cells_and_many_are_not() -> None:
    few = plots.confusion_matrix(np.array([[3, 1], [0, 4]]), ["cat", "dog"], "title")
    assert [text.get_text() for text in few.axes[0].texts] == [
        "3\n75.0%",
        "1\n25.0%",
        "0\n0.0%",
        "4\n100.0%",
    ]
    many = plots.confusion_matrix(np.eye(50, dtype=int), [str(n) for n in range(50)], "title")
    assert not many.axes[0].texts


def test_a_class_without_photos_has_no_share() -> None:
    figure = plots.confusion_matrix(np.array([[0, 0], [1, 3]]), ["cat", "dog"], "title")
    assert figure.axes[0].texts[0].get_text() == "0\n0.0%"


@pytest.mark.parametrize("column", ["50.00%", "1,234,567", "61", "12.3"])
def test_the_table_has_a_line_for_each_stage(column: str) -> None:
    table = reporting.stage_table([stage("head", [], ""), stage("all", [], "")])
    header, *lines = table.splitlines()
    assert [line.split()[0] for line in lines] == ["head", "all"]
    assert all(column in line for line in lines)
    assert {len(line) for line in lines} == {len(header)}

"""Results as text."""

import pathlib

import made_up
import pytest

from efficientnet.reporting import tables


@pytest.mark.parametrize("column", ["1,234,567", "61", "12.3"])
def test_the_table_has_a_line_for_each_stage(tmp_path: pathlib.Path, column: str) -> None:
    run = made_up.run(tmp_path)
    header, *lines = tables.stage_table(run.stages).splitlines()
    assert [line.split()[0] for line in lines] == ["head", "all"]
    assert all(column in line for line in lines)
    assert {len(line) for line in lines} == {len(header)}
    assert f"{run.stages[0].metrics.test['top1']:.2%}" in lines[0]


@pytest.mark.parametrize(
    ("seconds", "text"), [(9.6, "10 s"), (315.0, "5 min 15 s"), (7260.0, "2 h 1 min")]
)
def test_durations_are_readable(seconds: float, text: str) -> None:
    assert tables.duration(seconds) == text

"""Runs side by side: who gets what wrong."""

import dataclasses
import pathlib

import made_up
import numpy as np
import pages
import pytest
from etils import epath

from efficientnet.errors import UserError
from efficientnet.reporting import comparison, predictions, runs
from efficientnet.reporting.comparison import Comparison


def made(tmp_path: pathlib.Path, name: str, **choices: int) -> runs.Run:
    (tmp_path / name).mkdir(parents=True)
    return made_up.run(tmp_path / name, **choices)


def test_the_hardest_photos_come_first(tmp_path: pathlib.Path) -> None:
    compared = Comparison([made(tmp_path, name, seed=n) for n, name in enumerate("abc")])
    assert compared.wrong.shape == (60, 3)
    last = compared.predictions[1]
    np.testing.assert_array_equal(compared.wrong[:, 1], last.predicted != last.label)
    mistakes = compared.wrong[compared.order].sum(axis=1)
    assert (np.diff(mistakes) <= 0).all()
    assert mistakes[0] > mistakes[-1]
    np.testing.assert_array_equal(
        compared.never_right, compared.order[: np.count_nonzero(mistakes == 3)]
    )
    assert len(compared.never_right)


def test_the_hardest_classes_have_the_most_photos_that_no_run_gets_right(
    tmp_path: pathlib.Path,
) -> None:
    compared = Comparison(
        [made(tmp_path, name, classes=12, seed=21 + n) for n, name in enumerate("ab")]
    )
    first = compared.predictions[0]
    never = [
        sum(compared.wrong[index].all() for index in np.flatnonzero(first.label == label))
        for label in range(12)
    ]
    assert compared.never_right_by_class.tolist() == never
    labels = first.label[compared.by_class]
    assert (np.diff(labels) >= 0).all()
    for label in range(12):
        mistakes = compared.wrong[compared.by_class].sum(axis=1)[labels == label]
        assert (np.diff(mistakes) <= 0).all()
    hardest = comparison.ranked_classes(compared)
    assert [never[label] for label in hardest] == sorted(filter(None, never), reverse=True)
    comparison.write_page(epath.Path(tmp_path), compared, made_up.split(first))
    page = pages.assert_self_contained((tmp_path / "index.html").read_bytes())
    row = f"{first.class_names[hardest[0]]}{never[hardest[0]]}{(first.label == hardest[0]).sum()}"
    assert row in page.text
    shown = sum(min(never[label], 6) for label in hardest[:3]) + min(12, len(compared.never_right))
    assert page.tags.count("figure") == shown


def test_answers_are_counted_over_all_runs(tmp_path: pathlib.Path) -> None:
    compared = Comparison([made(tmp_path, name, seed=n) for n, name in enumerate("abc")])
    for index in range(len(compared.order)):
        wrong = [
            p.taken_for(index) for p in compared.predictions if p.predicted[index] != p.label[index]
        ]
        if not wrong:
            assert compared.taken_for([index]) is None
            continue
        name, number = compared.taken_for([index])
        assert number == wrong.count(name) == max(map(wrong.count, wrong))


def test_the_page_stands_alone_and_names_what_differs(tmp_path: pathlib.Path) -> None:
    earlier, later = (made(tmp_path, name, seed=n) for n, name in enumerate("ab"))
    origin = made_up.provenance()
    summary = dataclasses.replace(later.summary, provenance=origin)
    compared = Comparison([earlier, dataclasses.replace(later, summary=summary)])
    comparison.write_page(epath.Path(tmp_path / "new" / "page"), compared)
    page = pages.assert_self_contained((tmp_path / "new" / "page" / "index.html").read_bytes())
    assert "config.seed" in page.text
    assert "config.batch_size" not in page.text
    assert f"b{origin.run_id}abc123" in page.text
    assert "a--" in page.text  # which an earlier version finished
    for index in compared.never_right:
        assert compared.predictions[0].names[index] in page.text
    for row in compared.rows():
        assert all(cell in page.text for cell in row)


def test_other_photos_are_refused(tmp_path: pathlib.Path) -> None:
    one = made(tmp_path, "one")
    with pytest.raises(
        UserError, match=r"photos \(<\d+>.jpg of .* and <\d+>.jpg of .*\): compare runs of"
    ):
        Comparison([one, made(tmp_path, "two", truth=1)])
    with pytest.raises(UserError, match=r"different classes \(3 and 4\)"):
        Comparison([one, made(tmp_path, "three", classes=4)])
    renamed = made(tmp_path, "renamed")
    path = renamed.folder / "predictions" / "all.npz"
    found = predictions.load(path)
    names = [*found.class_names[:2], "rose"]
    predictions.save(path, dataclasses.replace(found, class_names=names))
    with pytest.raises(UserError, match=r"classes \(<b>\$class\$ & 2 and rose\)"):
        Comparison([one, renamed])
    with pytest.raises(UserError, match="two runs or more"):
        Comparison([one])
    with pytest.raises(UserError, match="named twice"):
        Comparison([one, one])


def test_names_are_as_short_as_they_can_be() -> None:
    assert comparison.short_names(["/a/x", "/b/y"]) == ["x", "y"]
    assert comparison.short_names(["/r/a/x", "/r/b/x", "/r/b/y"]) == ["a/x", "b/x", "b/y"]


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("config.json", "is not a run's workdir"),
        ("summary.json", "is not finished"),
        ("predictions/all.npz", "there are no predictions"),
    ],
)
def test_what_is_no_finished_run_is_refused(
    tmp_path: pathlib.Path, missing: str, message: str
) -> None:
    made(tmp_path, "one")
    (tmp_path / "one" / missing).unlink()
    with pytest.raises(UserError, match=message):
        runs.load(str(tmp_path / "one")).predictions("all")


@pytest.mark.parametrize("name", ["config.json", "summary.json"])
@pytest.mark.parametrize(
    "content", ["garbage", "\udc80", "[]", "3", '{"history": []}', '{"history": 1, "stages": [1]}']
)
def test_a_damaged_file_is_named(tmp_path: pathlib.Path, name: str, content: str) -> None:
    made(tmp_path, "one")
    (tmp_path / "one" / name).write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(UserError, match=f"{name} is damaged"):
        runs.load(str(tmp_path / "one"))

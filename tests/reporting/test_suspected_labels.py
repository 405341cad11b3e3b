"""Labels that predictions speak against."""

import csv
import dataclasses
import io

import made_up
import numpy as np
import pages
from etils import epath

from configs import common
from efficientnet.reporting import suspected_labels
from efficientnet.reporting.predictions import Predictions


def with_flips(photos: int = 400, classes: int = 5, margin: float = 4.0) -> tuple[Predictions, set]:
    """Predictions, every twentieth label of which is made that of the next class."""
    found = made_up.predict(classes, photos, margin=margin)
    flipped = range(0, photos, 20)
    label = found.label.copy()
    label[flipped] = (label[flipped] + 1) % classes
    return dataclasses.replace(found, label=label), set(flipped)


def test_wrong_labels_come_first_with_the_right_class() -> None:
    found, flipped = with_flips()
    suspects = suspected_labels.suspect(found)
    assert sorted(suspects.order) == list(range(400))
    assert flipped <= set(suspects.order[:40])
    right = (found.label - 1) % 5
    assert sum(suspects.suggested[i] == right[i] for i in flipped) >= 16
    assert (suspects.suggested != found.label).all()


def test_about_as_many_are_suspected_as_are_wrong() -> None:
    found, flipped = with_flips(photos=2000, margin=8.0)
    assert abs(suspected_labels.suspect(found).number - len(flipped)) <= 10
    sure = made_up.predict(5, 400, margin=20.0)
    assert suspected_labels.suspect(sure).number == 0


def of(probabilities: list[list[float]], label: list[int]) -> Predictions:
    names = tuple(f"{number}.jpg" for number in range(len(label)))
    classes = tuple("abc"[: len(probabilities[0])])
    return Predictions(np.float32(probabilities), np.int32(label), names, classes)


def test_the_joint_counts_photos_above_the_mean_of_each_class() -> None:
    # The thresholds are (0.9 + 0.7 + 0.2) / 3 = 0.6 for a and (0.8 + 0.4) / 2 = 0.6 for b.
    rows = [[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.2, 0.8], [0.6, 0.4]]
    found = of(rows, [0, 0, 0, 1, 1])
    np.testing.assert_allclose(suspected_labels.confident_joint(found), [[2, 1], [1, 1]], atol=1e-6)
    # One photo of b is of neither class, and is spread like the other.
    rows[4] = [0.5, 0.5]
    joint = suspected_labels.confident_joint(of(rows, [0, 0, 0, 1, 1]))
    np.testing.assert_allclose(joint, [[2, 1], [0, 2]], atol=1e-6)


def test_classes_without_photos_and_photos_without_predictions_change_nothing() -> None:
    found = of([[0.9, 0.1, 0], [0.1, 0.9, 0], [np.nan] * 3, [0.8, 0.2, 0]], [0, 1, 1, 1])
    suspects = suspected_labels.suspect(found)
    assert list(suspects.order) == [3, 0, 1, 2]
    assert suspects.suggested[3] == 0
    joint = suspected_labels.confident_joint(found)
    np.testing.assert_allclose(joint.sum(axis=1), [1, 3, 0])


def test_the_table_holds_every_photo_in_a_form_that_spreadsheets_read(
    tmp_path: epath.Path,
) -> None:
    found, _ = with_flips(photos=40)
    names = ('a, "b"\nc.jpg', *found.names[1:])
    found = dataclasses.replace(found, names=names)
    suspects = suspected_labels.suspect(found)
    path = epath.Path(tmp_path) / "labels.csv"
    suspected_labels.write_table(path, found, suspects)
    content = path.read_bytes()
    assert content.startswith(b"\xef\xbb\xbfname,label,suggested,score\r\n")
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert [row["name"] for row in rows] == [names[i] for i in suspects.order]
    assert rows[0]["label"] == found.class_names[found.label[suspects.order[0]]]
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores)


def test_the_page_stands_alone_and_shows_the_suspected(tmp_path: epath.Path) -> None:
    found, _ = with_flips(photos=60)
    suspects = suspected_labels.suspect(found)
    path = epath.Path(tmp_path) / "page.html"
    suspected_labels.write_page(
        path,
        "<run>",
        path.parent / "labels.csv",
        found,
        suspects,
        made_up.split(found),
        common.get_config(),
    )
    page = pages.assert_self_contained(path.read_bytes())
    assert suspects.number >= 1
    assert f"suspects {suspects.number} of 60 labels:" in page.text
    shown = suspects.order[: suspects.number]
    for index in shown:
        assert found.names[index] in page.text
        assert found.class_names[suspects.suggested[index]] in page.text
    assert found.names[suspects.order[-1]] not in page.text
    assert "--config.data.corrections=" in page.text
    assert "<run>" in page.text

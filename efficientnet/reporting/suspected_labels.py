"""Labels that are probably wrong, by confident learning (Northcutt et al. 2021), to be looked at.

It needs predictions for photos that the network was not trained on, such as those of
scripts/cross_validate.py. The two estimates are a few lines of NumPy; cleanlab, which has them too,
brings pandas and tools for other kinds of data.
"""

import csv
import io
from typing import Any, NamedTuple

import numpy as np
from etils import epath

import input_pipeline
from efficientnet.paths import write_whole
from efficientnet.reporting import pages, thumbnails
from efficientnet.reporting.predictions import Predictions
from efficientnet.reporting.tables import percent

SHOWN_PHOTOS = 240


class Suspects(NamedTuple):
    """All photos, ranked by how much the predictions speak against their labels.

    Attributes:
      order: int [n], indices of the photos, the most suspected first; without a prediction, last.
      number: of the first that are suspected: the photos off the diagonal of `confident_joint`.
      suggested: int [n], the most probable other class of each photo.
      score: float [n], by which they are ranked: near 0 for a label that is probably wrong, near 1
        for one that is right; NaN without a prediction.
    """

    order: np.ndarray
    number: int
    suggested: np.ndarray
    score: np.ndarray


def suspect(found: Predictions) -> Suspects:
    """Ranks photos by the probability of their label, and estimates how many labels are wrong.

    The estimate counts mistakes of the networks too, and is too high where these make many.
    """
    others = np.nan_to_num(found.probabilities, nan=-1.0)
    np.put_along_axis(others, found.label[:, None], -2.0, axis=1)
    joint = confident_joint(found)
    return Suspects(
        order=np.argsort(found.of_truth, kind="stable"),
        number=round(joint.sum() - np.trace(joint)),
        suggested=others.argmax(axis=1),
        score=found.of_truth,
    )


def confident_joint(found: Predictions) -> np.ndarray:
    """Returns the estimated number of photos by their label (rows) and their true class (columns).

    A photo is confidently of a class if the class is at least as probable as on average for the
    photos labeled so, and of the most probable one of several such classes. Photos that are of none
    are spread like the others with their label (Northcutt et al. 2021, equations 1 to 3).

    Returns:
      float [classes, classes], whose rows sum to the photos of each label.
    """
    classes = len(found.class_names)
    labeled = np.bincount(found.label, minlength=classes)
    of_truth = np.bincount(found.label, np.nan_to_num(found.of_truth), minlength=classes)
    with np.errstate(invalid="ignore", divide="ignore"):
        threshold = np.where(labeled, of_truth / labeled, np.inf)
    confident = np.where(found.probabilities >= threshold, found.probabilities, -1.0)
    likely = confident.argmax(axis=1)
    counted = confident.max(axis=1) >= 0
    joint = np.zeros((classes, classes))
    np.add.at(joint, (found.label[counted], likely[counted]), 1)
    known = joint.sum(axis=1)
    # A label without any confident photo is believed.
    joint[known == 0, known == 0] = 1
    return joint * (labeled / joint.sum(axis=1))[:, None]


def write_table(path: epath.Path, found: Predictions, suspects: Suspects) -> None:
    """Writes all photos, the most suspected first, for `config.data.corrections`.

    The file begins with the mark by which spreadsheets recognize UTF-8.
    """
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(("name", "label", "suggested", "score"))
    for index in suspects.order:
        label, suggested = found.label[index], suspects.suggested[index]
        names = (found.class_names[label], found.class_names[suggested])
        writer.writerow((found.names[index], *names, f"{suspects.score[index]:.4g}"))
    write_whole(path, table.getvalue().encode("utf-8-sig"))


def write_page(
    path: epath.Path,
    title: str,
    table: epath.Path,
    found: Predictions,
    suspects: Suspects,
    photos: input_pipeline.Split,
    config: Any,
) -> None:
    """Writes a self-contained page of the suspected photos.

    Args:
      path: of the page.
      title: of the run.
      table: the path that `write_table` wrote to.
      found: the predictions.
      suspects: of these predictions.
      photos: those that the predictions are for, in this order.
      config: of the run, see `thumbnails.read`.
    """
    shown = suspects.order[: min(suspects.number, SHOWN_PHOTOS)]
    likelier = suspects.suggested[shown]
    taken = [
        (found.class_names[other], found.probabilities[index, other])
        for index, other in zip(shown, likelier, strict=True)
    ]
    content = pages.render(
        "suspected_labels.html",
        title=title,
        table=str(table),
        total=len(found.label),
        number=suspects.number,
        agreement=percent(float((found.predicted == found.label).mean())),
        photos=list(thumbnails.with_captions(photos, found, shown, taken, config)),
    )
    write_whole(path, content)

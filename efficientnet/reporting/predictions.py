"""The predictions for the photos of a split, kept in a file."""

import dataclasses
import functools
import io
import zipfile
from collections.abc import Sequence

import numpy as np
import scipy.special
from etils import epath

from efficientnet.errors import UserError
from efficientnet.paths import write_whole


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Predictions for every photo of a split, once and in order.

    Attributes:
      probabilities: float32 [n, classes].
      label: int32 [n], the true classes.
      names: of the n photos.
      class_names: in the order of the labels.
    """

    probabilities: np.ndarray
    label: np.ndarray
    names: tuple[str, ...]
    class_names: tuple[str, ...]

    @functools.cached_property
    def predicted(self) -> np.ndarray:
        """The most probable class, int [n]; -1 where there is none.

        With ties or NaN there is none, and the prediction is wrong, as in `metrics.in_top`.
        """
        best = self.probabilities.argmax(axis=1)
        highest = np.take_along_axis(self.probabilities, best[:, None], axis=1)
        alone = (~(self.probabilities < highest)).sum(axis=1) == 1
        return np.where(alone, best, -1)

    def taken_for(self, index: int) -> str:
        """Returns the name of the predicted class of a photo."""
        return self.answers[self.predicted[index]]

    @property
    def answers(self) -> tuple[str, ...]:
        """The names of all possible predictions: the classes and, at -1, 'no class'."""
        return (*self.class_names, "no class")

    @property
    def of_truth(self) -> np.ndarray:
        """The probabilities of the true classes, float32 [n]."""
        return np.take_along_axis(self.probabilities, self.label[:, None], axis=1)[:, 0]


def from_logits(
    logits: np.ndarray, label: np.ndarray, names: Sequence[str], class_names: Sequence[str]
) -> Predictions:
    """Returns the predictions of logits [n, classes], without photos that could not be read.

    The logits of these are -inf, see `steps.make_eval_step`.
    """
    read = np.flatnonzero(~np.isneginf(logits).all(axis=1))
    return Predictions(
        softmax(logits[read]).astype(np.float32),
        np.asarray(label, np.int32)[read],
        tuple(np.asarray(names, object)[read]),
        tuple(class_names),
    )


def softmax(logits: np.ndarray) -> np.ndarray:
    """Returns probabilities [n, classes], float64; NaN where the largest logit is not finite."""
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        return scipy.special.softmax(logits.astype(np.float64), axis=1)


def save(path: epath.Path, predictions: Predictions) -> None:
    """Writes the fields of `Predictions` to a `.npz`, which is never seen half-written."""
    content = io.BytesIO()
    np.savez_compressed(content, **dataclasses.asdict(predictions))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content.getvalue())


def load(path: epath.Path) -> Predictions:
    """Reads a file that `save` wrote.

    Raises:
      UserError: there is no such file, or it can't be read.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes())) as file:
            return Predictions(
                file["probabilities"],
                file["label"],
                tuple(file["names"].tolist()),
                tuple(file["class_names"].tolist()),
            )
    except FileNotFoundError as error:
        raise UserError(
            f"there are no predictions {path}: scripts/evaluate.py --output writes them"
        ) from error
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} holds no predictions that can be read ({error}): "
            "scripts/evaluate.py --output writes them"
        ) from error

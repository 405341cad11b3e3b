"""The folder `report/` of a finished run."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath
from matplotlib.figure import Figure

from efficientnet.reporting import plots

DOTS_PER_INCH = 120


def write_report(
    folder: epath.Path,
    history: Sequence[Mapping[str, Any]],
    stages: Sequence[Mapping[str, Any]],
    class_names: Sequence[str],
) -> None:
    """Writes `curves.png` and each stage's `confusion_STAGE.png`.

    Args:
      folder: made if need be.
      history: one entry an epoch, see `plots.curves`.
      stages: finished stages: 'name', 'metrics', 'selected_on' and 'confusion' (test photos by true
        and predicted class).
      class_names: in the order of the labels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    selected_on = stages[0]["selected_on"]
    if selected_on == "test":
        selected_on = "the test split, so the test results are not independent of the selection"
    _save(plots.curves(history, selected_on), folder / "curves.png")
    for stage in stages:
        name, top1 = stage["name"], stage["metrics"]["test"]["top1"]
        title = f"test photos after stage {name}: top-1 {top1:.2%}"
        matrix = plots.confusion_matrix(np.asarray(stage["confusion"]), class_names, title)
        _save(matrix, folder / f"confusion_{name}.png")


def _save(figure: Figure, path: epath.Path) -> None:
    with path.open("wb") as file:
        figure.savefig(file, dpi=DOTS_PER_INCH)

"""What is kept and shown of a stage when it ends: its predictions of the test photos."""

from collections.abc import Mapping
from typing import Any

from etils import epath

from efficientnet.reporting import photos, plots, predictions, scores
from efficientnet.training.curves import Curves
from efficientnet.training.distributed import leads
from efficientnet.training.evaluation import Evaluator
from efficientnet.training.experiment import Experiment

SHOWN_PHOTOS = 24


def examine(
    experiment: Experiment,
    evaluator: Evaluator,
    variables: Mapping[str, Any],
    path: epath.Path,
    curves: Curves,
    step: int,
) -> dict[str, float]:
    """Tests variables, already on the devices, and returns the metrics of `scores.summary`.

    Args:
      experiment: whose test photos are taken.
      evaluator: of its network.
      variables: to test.
      path: of the predictions that are kept.
      curves: get the metrics, the confusion matrix and the worst photos.
      step: where on the time axis.
    """
    data = experiment.data
    counted, logits = evaluator(variables, data.test)
    found = predictions.from_logits(logits, data.test.labels, data.test.names, data.class_names)
    values = scores.summary(found) | counted
    curves.write("test", step, values)
    if leads():
        predictions.save(path, found)
        counts = scores.confusion(found)
        pictures = {
            "confusion_matrix": plots.pixels(plots.confusion_matrix(counts, data.class_names))
        }
        worst = scores.worst_photos(found, SHOWN_PHOTOS)
        if len(worst):
            pixels = photos.read(data.test, worst, experiment.config)
            pictures["worst_photos"] = plots.pixels(plots.photo_grid(found, worst, pixels))
        curves.write_images("test", step, pictures)
    return values

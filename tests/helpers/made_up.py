"""Predictions and runs that no network made."""

import io
import json
from typing import Any

import numpy as np
import PIL.Image
from etils import epath

from efficientnet import metrics
from efficientnet.config import DataConfig, RunConfig, StageConfig
from efficientnet.reporting import predictions, runs, scores
from efficientnet.reporting.predictions import Predictions
from input_pipeline.sources.split import Split, from_encoded

STAGES = ("head", "all")


def predict(
    classes: int, photos: int, seed: int = 0, truth: int = 0, margin: float = 2.0
) -> Predictions:
    """Predictions that are right where the margin is large; the same truth is the same photos."""
    rng = np.random.default_rng(seed)
    label = np.random.default_rng(truth).integers(classes, size=photos)
    logits = rng.normal(size=(photos, classes)).astype(np.float32)
    logits[np.arange(photos), label] += rng.normal(margin, 1.5, photos)
    names = [f"<{number}>.jpg" for number in range(photos)]
    return predictions.from_logits(
        logits, label, names, [f"<b>$class$ & {n}" for n in range(classes)]
    )


def split(found: Predictions) -> Split:
    """Photos that go with predictions."""
    encoded = []
    for label in found.label:
        buffer = io.BytesIO()
        PIL.Image.new("RGB", (8, 6), (int(label), 99, 0)).save(buffer, format="PNG")
        encoded.append(buffer.getvalue())
    return from_encoded(encoded, found.names, found.label.tolist())


def run(
    folder: epath.PathLike, classes: int = 3, seed: int = 0, truth: int = 0, margin: float = 2.0
) -> runs.Run:
    """A finished run of two stages, as train.py leaves it."""
    folder = epath.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = RunConfig(
        seed=seed,
        data=DataConfig(source="made_up"),
        stages=tuple(StageConfig(name, train="all", epochs=2) for name in STAGES),
    )
    stages, history = [], []
    for number, name in enumerate(STAGES):
        found = predict(classes, 60, seed + 100 * number, truth, margin)
        predictions.save(folder / "predictions" / f"{name}.npz", found)
        test = scores.summary(found)
        history += [entry(name, epoch, test) for epoch in (1, 2)]
        stages.append(
            {
                "name": name,
                "epochs": 2.0,
                "best_epoch": 2,
                "seconds": 61.4,
                "images_per_second": 12.34,
                "parameters": {"trainable": 1234567, "frozen": 1},
                "metrics": {"test": test, "validation": history[-1]["validation"]},
                "selected_on": "photos held out of training",
            }
        )
    summary = {
        "status": "finished",
        "stages": stages,
        "history": history,
        "photos": {"train": 100, "validation": 10, "test": 60},
        "classes": classes,
        "devices": "8 x cpu",
        "processes": 1,
        "versions": {"python": "3.11", "jax": "0"},
    }
    (folder / "config.json").write_text(json.dumps(config.to_json()))
    (folder / "summary.json").write_text(json.dumps(summary))
    return runs.load(str(folder))


def entry(stage: str, epoch: int, test: dict[str, float]) -> dict[str, Any]:
    """An epoch's record; the average of the weights is a tenth better than the weights."""
    values = {name: test[name] for name in metrics.per_example()}
    better = {name: value + 0.1 for name, value in values.items()}
    return {
        "stage": stage,
        "epoch": epoch,
        "train": values,
        "validation": values,
        "validation_ema": better,
        "chosen": "validation_ema",
    }

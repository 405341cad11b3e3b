"""Predictions and runs that no network made."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image
from etils import epath

from efficientnet import metrics as metrics_table
from efficientnet import records
from efficientnet.config import DataConfig, RunConfig, StageConfig
from efficientnet.records import (
    EpochRecord,
    NetworkRecord,
    ParameterCounts,
    RunSummary,
    SplitIdentity,
    SplitSizes,
    StageMetrics,
    StageResult,
)
from efficientnet.reporting import predictions, runs, scores
from efficientnet.reporting.predictions import Predictions
from efficientnet.runtime.provenance import Environment, Provenance
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


def splits(found: Predictions) -> dict[str, Split]:
    """Photos of a run with such predictions."""
    return {name: split(found) for name in ("train", "validation", "test")}


def run(
    folder: epath.PathLike,
    classes: int = 3,
    seed: int = 0,
    truth: int = 0,
    margin: float = 2.0,
    weights: str = "noisy_student",
    **fields: Any,
) -> runs.Run:
    """A finished run of two stages, which have these fields, as train.py leaves it."""
    folder = epath.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = RunConfig(
        seed=seed,
        weights=weights,
        data=DataConfig(source="made_up"),
        stages=tuple(StageConfig(name, train="all", epochs=2, **fields) for name in STAGES),
    )
    stages: list[StageResult] = []
    history: list[EpochRecord] = []
    for number, name in enumerate(STAGES):
        found = predict(classes, 60, seed + 100 * number, truth, margin)
        predictions.save(folder / "predictions" / f"{name}.npz", found)
        test = scores.summary(found)
        history += [entry(name, epoch, test) for epoch in (1, 2)]
        metrics = StageMetrics(test=test, validation=history[-1].validation)
        stages.append(result(name, metrics))
    records.write(folder / "config.json", config.to_json())
    records.write(folder / "summary.json", summary(stages, history, classes))
    return runs.load(str(folder))


def summary(
    stages: Sequence[StageResult] = (), history: Sequence[EpochRecord] = (), classes: int = 3
) -> RunSummary:
    """A summary of such stages."""
    return RunSummary(
        stages=tuple(stages),
        history=tuple(history),
        photos=SplitSizes(train=100, validation=10, test=60),
        classes=classes,
        devices="8 x cpu",
        processes=1,
        versions={"python": "3.11", "jax": "0"},
    )


def environment(commit: str = "abc", **versions: str) -> Environment:
    """The code, packages and machine of a start of a run."""
    return Environment(
        version="0.1.0",
        commit=commit,
        clean=True,
        python="3.11.9",
        platform="Linux-6.1-x86_64",
        devices="2 x cpu",
        driver="",
        processes=1,
        packages={"jax": "0.9", "numpy": "2.0", **versions},
    )


def provenance(run_id: str = "20261127-184512-9f3a6c1d", commit: str = "abc123") -> Provenance:
    """Where the results of a run come from that was started twice, with another JAX each time."""
    environments = [environment(commit, jax=version, numpy="2.4") for version in ("0.9", "0.10")]
    known = Provenance(run_id=run_id, data_digest="b3cac278", data_covers="class names")
    return known.started(environments[0]).started(environments[1])


def result(name: str, metrics: StageMetrics, best_epoch: int = 2) -> StageResult:
    """What a stage of two epochs has come to."""
    return StageResult(
        name=name,
        epochs=2.0,
        best_epoch=best_epoch,
        weights="moving average",
        steps=20,
        seconds=61.4,
        images_per_second=12.34,
        parameters=ParameterCounts(trainable=1234567, frozen=1),
        metrics=metrics,
        selected_on="photos held out of training",
    )


def entry(stage: str, epoch: int, test: dict[str, float], rate: float = 1e-3) -> EpochRecord:
    """An epoch's record; the average of the weights is a tenth better than the weights."""
    values = {name: test[name] for name in metrics_table.per_example() if name in test}
    return EpochRecord(
        stage=stage,
        epoch=epoch,
        step=10 * epoch,
        lr_scale=1.0,
        learning_rate=rate,
        train=values,
        validation=values,
        validation_ema={name: value + 0.1 for name, value in values.items()},
        chosen="validation_ema",
    )


def network(
    class_names: tuple[str, ...], data: dict[str, SplitIdentity] | None = None
) -> NetworkRecord:
    """A network with such classes, trained on such data."""
    return NetworkRecord(
        class_names=class_names,
        resolution=32,
        padding="same",
        bn_epsilon=1e-3,
        mean=(0.0,),
        std=(1.0,),
        data=data or {},
    )

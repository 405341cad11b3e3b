"""Keras Applications on a given backend."""

import os
from typing import Any

import numpy as np

from benchmarks.rates.ours import device_facts, threads
from benchmarks.rates.workload import CLASSES, Setting, Workload, repeated


def infer(setting: Setting, backend: str) -> Workload:
    """`predict_on_batch`."""
    network, images = _network(setting, backend)
    return _workload(lambda: np.asarray(network.predict_on_batch(images)), setting, backend)


def train(setting: Setting, backend: str) -> Workload:
    """`train_on_batch`, SGD with momentum."""
    network, images = _network(setting, backend)
    import keras

    network.compile(
        optimizer=keras.optimizers.SGD(1e-4, momentum=0.9, nesterov=True),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
    )
    labels = np.random.default_rng(0).integers(0, CLASSES, setting.batch)
    targets = np.eye(CLASSES, dtype=np.float32)[labels]
    return _workload(lambda: float(network.train_on_batch(images, targets)), setting, backend)


def _network(setting: Setting, backend: str) -> tuple[Any, np.ndarray]:
    os.environ["KERAS_BACKEND"] = backend  # read when Keras is imported
    import keras

    if setting.dtype == "bfloat16":
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    shape = (setting.resolution, setting.resolution, 3)
    build = getattr(keras.applications, f"EfficientNet{setting.variant.upper()}")
    network = build(
        weights=None, input_shape=shape, classes=CLASSES, classifier_activation="linear"
    )
    rng = np.random.default_rng(0)
    return network, rng.uniform(0, 255, (setting.batch, *shape)).astype(np.float32)


def _workload(step: Any, setting: Setting, backend: str) -> Workload:
    run = repeated(step, setting.batch)
    if backend == "tensorflow":  # the installed build of it knows no GPU
        return Workload(run, ("keras", "tensorflow-cpu"), threads(), {"device": "cpu"})
    return Workload(run, ("keras", "jax"), threads(), device_facts())

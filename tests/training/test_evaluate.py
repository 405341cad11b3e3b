"""Predictions are those of every photo, once and in order, however they are batched."""

from collections.abc import Callable

import jax
import numpy as np
import pytest
from jax.sharding import Mesh
from ml_collections import ConfigDict

from configs import common
from efficientnet.network.layers import normalize
from efficientnet.reporting import predictions, scores
from efficientnet.runtime import devices
from efficientnet.training import evaluate, setup, steps
from efficientnet.training.evaluate import Evaluator

Recipe = Callable[..., ConfigDict]


@pytest.fixture
def prepared(tiny: Recipe) -> setup.Experiment:
    return setup.prepare(tiny(common.stage("head", train="predictions", epochs=1)))


@pytest.mark.parametrize(("batch_size", "count"), [(8, 8), (16, 8), (5, 1), (21, 1), (4, 2)])
def test_batches_and_devices_change_nothing(
    prepared: setup.Experiment,
    monkeypatch: pytest.MonkeyPatch,
    batch_size: int,
    count: int,
) -> None:
    data = prepared.data.test
    model = prepared.model(prepared.config.stages[0])
    photos = np.concatenate([batch["image"] for batch in prepared.batches.evaluate(data)])[:21]
    expected = model.apply(prepared.variables, normalize(photos, prepared.mean, prepared.std))

    mesh = Mesh(np.asarray(jax.devices()[:count]), ("data",))
    object.__setattr__(prepared, "mesh", mesh)
    object.__setattr__(prepared.batches, "batch_size", batch_size)
    variables = jax.device_put(prepared.variables, devices.replicated(mesh))
    counts: list[int] = []
    values, logits = evaluate.for_experiment(prepared)(variables, data, counts.append)

    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-6)
    assert sum(counts) == 21
    found = predictions.from_logits(logits, data.labels, data.names, prepared.data.class_names)
    summary = scores.summary(found)
    for name, value in values.items():
        assert summary[name] == pytest.approx(value, rel=1e-5), name


def test_flips_average_the_probabilities(prepared: setup.Experiment) -> None:
    data = prepared.data.test
    model = prepared.model(prepared.config.stages[0])
    variables = jax.device_put(prepared.variables, devices.replicated(prepared.mesh))

    def mirrored(split: object) -> list[dict[str, np.ndarray]]:
        batches = prepared.eval_batches(data)
        return [{**batch, "image": batch["image"][:, :, ::-1]} for batch in batches]

    def evaluate(batches: Callable[..., object], flip: bool) -> np.ndarray:
        program = steps.make_eval_step(
            model, prepared.mesh, mean=prepared.mean, std=prepared.std, flip=flip
        )
        evaluator = Evaluator(program, prepared.mesh, batches)
        _, logits = evaluator(variables, data)
        return predictions.from_logits(logits, data.labels, data.names, ()).probabilities

    plain, turned = evaluate(prepared.eval_batches, False), evaluate(mirrored, False)
    assert not np.allclose(plain, turned, atol=1e-7)
    both = evaluate(prepared.eval_batches, True)
    np.testing.assert_allclose(both, (plain + turned) / 2, rtol=1e-5)


def test_a_photo_is_not_taken_for_unreadable_by_what_a_network_says(
    prepared: setup.Experiment,
) -> None:
    data = prepared.data.test
    classifier = prepared.variables["params"]["predictions"]
    classifier["bias"] = np.full_like(classifier["bias"], -np.inf)
    variables = jax.device_put(prepared.variables, devices.replicated(prepared.mesh))
    _, logits = evaluate.for_experiment(prepared)(variables, data)
    found = predictions.from_logits(logits, data.labels, data.names, prepared.data.class_names)
    assert found.names == tuple(data.names)
    assert np.isnan(found.probabilities).all()

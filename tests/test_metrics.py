"""One table of metrics: whoever counts, keeps, shows or compares results goes by it."""

import pathlib
import subprocess
import sys
import types

import jax.numpy as jnp
import made_up
import numpy as np
import pages
import pytest
from etils import epath

from efficientnet import metrics
from efficientnet.config import StageConfig
from efficientnet.errors import UserError
from efficientnet.metrics import METRICS, Metric, Outputs
from efficientnet.reporting import comparison, curves, grids, report, scores, tables
from efficientnet.training import losses, monitoring

CONFIDENCE = Metric(
    "confidence",
    "Mean confidence",
    heading="Confidence",
    per_example=lambda outputs: outputs.scores.max(-1),
    plotted=True,
    highlighted=True,
)


def test_every_row_is_counted_where_it_says(tmp_path: pathlib.Path) -> None:
    assert set(scores.OF_SPLIT) == METRICS.keys() - metrics.per_example().keys()
    assert list(losses.BatchMetrics.empty().compute()) == list(metrics.per_example())
    assert list(scores.summary(made_up.predict(3, 20))) == list(METRICS)
    assert grids.choices() == [
        f"{split}.{name}" for split in ("validation", "test") for name in metrics.per_example()
    ]
    for name in METRICS:
        if name in metrics.per_example():
            assert StageConfig("s", "all", 1, monitor=name).monitor == name
        else:
            with pytest.raises(UserError, match=f"monitor '{name}'"):
                StageConfig("s", "all", 1, monitor=name)


def test_a_new_row_is_counted_and_shown_everywhere(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = made_up.run(tmp_path / "before")
    monkeypatch.setitem(METRICS, "confidence", CONFIDENCE)

    counted = losses.batch_metrics(metrics.per_example()).single_from_model_output(
        loss=jnp.zeros(2),
        logits=jnp.array([[0.5, 0.25], [0.0, 1.0]]),
        label=jnp.array([0, 0]),
        mask=jnp.ones(2, bool),
    )
    assert counted.compute()["confidence"] == 0.75

    run = made_up.run(tmp_path / "after", seed=1)
    test = run.result.metrics.test
    assert test["confidence"] == pytest.approx(
        run.predictions("all").probabilities.max(axis=1).mean()
    )
    assert f"{test['confidence']:.2%}" in tables.stage_table(run.stages)
    assert CONFIDENCE in curves.plotted(3)
    compared = comparison.Comparison([before, run])
    assert "Confidence" in compared.table()
    report.write_report(run, made_up.splits(run.predictions("all")))
    comparison.write_page(epath.Path(tmp_path), compared)
    for path in (run.folder / report.PAGE, tmp_path / comparison.PAGE):
        page = pages.assert_self_contained(path.read_bytes())
        assert f"{100 * test['confidence']:.1f} %" in page.text
    assert "test.confidence" in grids.choices()
    stage = types.SimpleNamespace(monitor="confidence")  # config.py names it among its choices
    low, high = ({"confidence": value, "loss": 1.0} for value in (0.5, 0.6))
    assert monitoring.score(stage, high) > monitoring.score(stage, low)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_in_top_is_the_same_of_numpy_and_of_jax(k: int) -> None:
    rng = np.random.default_rng(0)
    # Few values, so that many tie.
    values = rng.choice([0.0, 0.5, 1.0, np.nan], size=(40, 5)).astype(np.float32)
    label = rng.integers(5, size=40)
    of_numpy = Outputs(values, values[np.arange(40), label], None)
    of_jax = Outputs(*map(jnp.asarray, of_numpy[:2]), None)
    expected = [
        sum(not other < row[true] for other in row) <= k
        for row, true in zip(values, label, strict=True)
    ]
    np.testing.assert_array_equal(metrics.in_top(k, of_numpy), expected)
    np.testing.assert_array_equal(metrics.in_top(k, of_jax), expected)


def test_the_table_imports_nothing_that_takes_time() -> None:
    code = (
        "import sys, efficientnet.metrics; "
        "sys.exit(' '.join({'jax', 'numpy', 'tensorflow', 'clu'} & sys.modules.keys()) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, timeout=60)
    assert done.stderr.decode() == ""

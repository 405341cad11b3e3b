"""A network shows on the page of an audit what it finds alike."""

import numpy as np
from pages import assert_self_contained

import input_pipeline
from efficientnet.commands import command_line, prepare_data
from efficientnet.inference.loading import load_run
from efficientnet.inference.predict import features_of


def test_features_are_in_the_order_of_the_photos(trained) -> None:
    test = input_pipeline.load_source("folders", str(trained.photos)).splits["test"]
    features = features_of(load_run(str(trained.workdir)), test.take(np.array([0, 9, 3, 9, 0])))
    np.testing.assert_allclose(features[:2], features[:2:-1], atol=1e-6)
    assert np.ptp(features[:3], axis=0).max() > 5e-5


def test_the_page_shows_what_a_run_finds_alike(trained, tmp_path, capsys) -> None:
    words = ["folders", f"--directory={trained.photos}", f"--weights={trained.workdir}"]
    assert command_line.run(prepare_data.main, [*words, f"--report={tmp_path}"]) == 0
    page = assert_self_contained((tmp_path / "index.html").read_bytes())
    assert "Most alike to the network: 24 pairs" in page.text
    assert command_line.run(prepare_data.main, [*words, "--check"]) == 1
    assert "--weights goes with --report=DIR" in capsys.readouterr().err

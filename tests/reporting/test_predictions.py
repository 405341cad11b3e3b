"""Predictions come back from their file as they were."""

import pathlib

import numpy as np
import pytest
from etils import epath

from efficientnet.errors import UserError
from efficientnet.reporting import predictions
from efficientnet.reporting.predictions import Predictions


def test_what_is_saved_comes_back(found: Predictions, tmp_path: pathlib.Path) -> None:
    path = epath.Path(tmp_path / "predictions" / "late.npz")
    predictions.save(path, found)
    again = predictions.load(path)
    np.testing.assert_array_equal(again.probabilities, found.probabilities)
    assert again.probabilities.dtype == np.float32
    np.testing.assert_array_equal(again.label, found.label)
    assert (again.names, again.class_names) == (found.names, found.class_names)
    assert [entry.name for entry in path.parent.iterdir()] == ["late.npz"]


def test_other_files_are_refused(found: Predictions, tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match=r"there are no predictions .*none.npz"):
        predictions.load(epath.Path(tmp_path / "none.npz"))
    path = epath.Path(tmp_path / "cut.npz")
    predictions.save(path, found)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="holds no predictions that can be read"):
        predictions.load(path)
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(UserError, match="holds no predictions that can be read"):
        predictions.load(epath.Path(tmp_path / "other.npz"))

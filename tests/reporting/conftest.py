"""Predictions of few and of many classes."""

import made_up
import pytest

from efficientnet.reporting.predictions import Predictions


@pytest.fixture(params=[2, 196], ids=["two", "many"])
def found(request: pytest.FixtureRequest) -> Predictions:
    return made_up.predict(request.param, photos=500)

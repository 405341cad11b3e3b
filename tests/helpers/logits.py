"""Logits of ten classes that must not count as correct; the true class is the first."""

import math

NOT_FINITE = (
    [math.nan] * 10,
    [math.inf] * 10,
    [-math.inf] * 10,
    [math.nan, *[0.0] * 9],
    [1.0, *[math.nan] * 9],
    [1.0, *[math.inf] * 9],
)

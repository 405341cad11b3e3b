"""Random numbers that are a function of their names."""

import numpy as np
import pytest

from efficientnet.errors import UserError
from input_pipeline import order


def test_each_row_is_a_function_of_seed_and_number():
    numbers = np.array([0, 1, 2**40, -3])
    together = order.uniform(7, numbers, 5)
    assert together.dtype == np.float32
    for number, row in zip(numbers, together, strict=True):
        np.testing.assert_array_equal(order.uniform(7, np.array([number]), 5)[0], row)
        np.testing.assert_array_equal(order.uniform(7, np.array([number]), 3)[0], row[:3])
    assert len(np.unique(together)) == together.size
    assert not np.isin(order.uniform(8, numbers, 5), together).any()


def test_numbers_are_spread_evenly_and_hang_on_nothing():
    epochs, index = np.divmod(np.arange(200_000), 100_000)
    drawn = order.uniform(0, order.numbers_of(epochs, index), 4)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    # Of 800,000 in 100 equal parts, each has 8,000 with a deviation of 89.
    counts = np.bincount((drawn * 100).astype(int).ravel(), minlength=100)
    assert abs(counts - 8000).max() < 5 * 89
    # Neither between draws, nor examples that follow each other, nor epochs, nor seeds.
    other = order.uniform(1, order.numbers_of(epochs, index), 1)[:, 0]
    pairs = [(drawn[:, 0], drawn[:, place]) for place in (1, 2, 3)]
    pairs += [(drawn[1:, 0], drawn[:-1, 0]), (drawn[:100_000, 0], drawn[100_000:, 0])]
    for one, two in [*pairs, (drawn[:, 0], other)]:
        assert abs(np.corrcoef(one, two)[0, 1]) < 5 / len(one) ** 0.5


def test_a_remainder_is_dropped_from_each_epoch_and_is_another_each_time():
    whole = order.Order(10, 4, seed=1, drop_remainder=True)
    batches = [whole.batch(step) for step in range(10)]
    epochs = np.concatenate([batch.index for batch in batches]).reshape(5, 8)
    assert [batch.epoch.tolist() for batch in batches] == [[step // 2] * 4 for step in range(10)]
    assert all(len(set(epoch)) == 8 for epoch in epochs.tolist())
    assert set(epochs.ravel().tolist()) == set(range(10))
    parts = [order.Order(10, 4, 1, part, 2, drop_remainder=True).batch(3) for part in range(2)]
    joined = np.concatenate([part.index for part in parts])
    np.testing.assert_array_equal(joined, whole.batch(3).index)
    # Evaluation drops nothing.
    assert order.Order(10, 4, None, drop_remainder=True).batch(2).mask.tolist() == [1, 1, 0, 0]


def test_an_epoch_without_a_whole_batch_is_refused():
    with pytest.raises(UserError, match="no whole batch is left of 3 photos"):
        order.Order(3, 4, seed=0, drop_remainder=True)

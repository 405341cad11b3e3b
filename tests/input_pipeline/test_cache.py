import numpy as np
import pytest

import input_pipeline
from efficientnet.errors import UserError
from input_pipeline.sources.split import from_encoded


@pytest.mark.parametrize("channels", [1, 3])
def test_a_cached_photo_is_the_decoded_photo(photos, channels):
    cached = input_pipeline.cache_in_memory(photos, resolution=16, channels=channels)
    options = {"batch_size": 37, "resolution": 16, "channels": channels}
    expected = next(input_pipeline.eval_batches(photos, **options))
    result = next(input_pipeline.eval_batches(cached, **options))
    assert all((result[key] == expected[key]).all() for key in expected)
    assert cached.names == photos.names


def test_training_from_the_cache_keeps_order_and_draws(photos):
    cached = input_pipeline.cache_in_memory(photos, resolution=32)
    options = {"batch_size": 20, "resolution": 24, "num_steps": 4, "seed": 3}
    augment = "random_resized_crop|flip_left_right|rotate|color_jitter(0.2)|gaussian_noise"
    fresh, again = (
        list(input_pipeline.train_batches(cached, augment=augment, **options)) for _ in range(2)
    )
    original = list(input_pipeline.train_batches(photos, **options))
    for one, two, three in zip(fresh, again, original, strict=True):
        assert (one["image"] == two["image"]).all()
        assert (one["index"] == three["index"]).all()
    part = cached.take(np.arange(5))
    assert next(input_pipeline.eval_batches(part, batch_size=5, resolution=8))["mask"].all()


def test_a_broken_photo_is_named(photos):
    split = from_encoded([photos.read(0).numpy(), b"no photo"], ["fine.png", "bad.png"], [0, 0])
    with pytest.raises(UserError, match=r"^bad\.png is not a readable photo"):
        input_pipeline.cache_in_memory(split, resolution=8)

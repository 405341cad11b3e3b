import io

import numpy as np
from PIL import Image

from input_pipeline.audit.duplicates import Pair, most_alike
from input_pipeline.audit.photos import Photo, measure


def test_the_most_alike_to_a_network_come_first_without_known_pairs_and_broken_photos() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (9, 9), "red").save(stream, "PNG")
    measured = measure(stream.getvalue())
    photos = [Photo("train", i, f"{i}.png", 0, measured, "") for i in range(5)]
    photos.append(Photo("test", 0, "broken.png", 0, None, "cut off"))
    angles = np.radians([0, 1, 90, 95, 200, 90])
    features = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32) + 7
    found = most_alike(photos, features, [], 2)
    assert [(pair.first.index, pair.second.index) for pair in found] == [(0, 1), (2, 3)]
    assert found[0].similarity > found[1].similarity > 0.9
    known = [Pair(photos[0], photos[1], 1.0, exact=True)]
    found = most_alike(photos, features, known, 1)
    assert [(pair.first.index, pair.second.index) for pair in found] == [(2, 3)]

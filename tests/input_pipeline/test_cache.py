import io

import numpy as np
import pytest
from etils import epath
from PIL import Image

import input_pipeline
from efficientnet import locks
from efficientnet.errors import UserError
from input_pipeline import cache
from input_pipeline.sources.split import Split, from_encoded, from_files


def pixels(split: Split) -> np.ndarray:
    return np.stack([split.read(index) for index in range(len(split))])


@pytest.mark.parametrize("channels", [1, 3])
def test_a_cached_photo_is_the_decoded_photo(photos, channels):
    cached = input_pipeline.decoded(photos, 16, channels, "memory")
    options = {"batch_size": 37, "resolution": 16, "channels": channels}
    (expected,) = input_pipeline.Loader(photos, **options).evaluate(photos)
    (result,) = input_pipeline.Loader(cached, **options).evaluate(cached)
    assert all((result[key] == expected[key]).all() for key in expected)
    assert cached.names == photos.names


def test_padded_photos_are_padded_once(tmp_path):
    stream = io.BytesIO()
    Image.new("RGB", (20, 10), (0, 255, 0)).save(stream, "PNG")
    split = from_encoded([stream.getvalue()] * 2, ["a", "b"], [0, 0])
    red = np.array((255, 0, 0))
    for place in ("memory", str(tmp_path)):
        squeezed = input_pipeline.decoded(split, 16, 3, place)
        padded = input_pipeline.decoded(split, 16, 3, place, preprocess="pad((255, 0, 0))")
        assert not (pixels(squeezed) == red).any((0, 1, 2))[0]
        assert (pixels(padded)[:, :4] == red).all()
        augment = "pad((255, 0, 0))|flip_left_right"
        loader = input_pipeline.Loader(padded, batch_size=2, resolution=16, augment=augment)
        (batch,) = loader.train(0, 1)
        np.testing.assert_array_equal(batch["image"], pixels(padded))


def test_training_from_the_cache_keeps_order_and_draws(photos):
    cached = input_pipeline.decoded(photos, 32, 3, "memory")
    options = {"batch_size": 20, "resolution": 24, "seed": 3}
    augment = "random_resized_crop|flip_left_right|rotate|color_jitter(0.2)|gaussian_noise"
    fresh, again, original = (
        input_pipeline.Loader(split, augment=text, **options).train(0, 4)
        for split, text in ((cached, augment), (cached, augment), (photos, ""))
    )
    for one, two, three in zip(fresh, again, original, strict=True):
        assert (one["image"] == two["image"]).all()
        assert (one["index"] == three["index"]).all()
    part = cached.take(np.arange(5))
    (batch,) = input_pipeline.Loader(part, batch_size=5, resolution=8).evaluate(part)
    assert batch["mask"].all()


def test_a_broken_photo_is_named(photos):
    split = from_encoded([photos.read(0), b"no photo"], ["fine.png", "bad.png"], [0, 0])
    with pytest.raises(UserError, match=r"^bad\.png is not a readable photo"):
        input_pipeline.decoded(split, 8, 3, "memory")


def test_a_cache_on_disk_is_written_once_and_follows_the_data(photos, photo_folder, tmp_path):
    options = {"resolution": 16, "channels": 3, "place": str(tmp_path / "cache")}
    first = input_pipeline.decoded(photos, **options)
    [path] = (tmp_path / "cache").glob("????????????????????????.npy")
    written = path.stat().st_mtime_ns
    again = input_pipeline.decoded(photos, **options)
    assert path.stat().st_mtime_ns == written
    expected = input_pipeline.decoded(photos, **{**options, "place": "memory"})
    for one in (first, again):
        assert (pixels(one) == pixels(expected)).all()
    # Other examples, or the same with another content, are another file.
    input_pipeline.decoded(photos.take(np.arange(5)), **options)
    name = photos.names[0]
    changed = from_files(epath.Path(photo_folder), photos.names, list(photos.labels))
    assert changed.fingerprint() == photos.fingerprint()
    content = (photo_folder / name).read_bytes()
    try:
        (photo_folder / name).write_bytes((photo_folder / photos.names[3]).read_bytes())
        changed = from_files(epath.Path(photo_folder), photos.names, list(photos.labels))
        assert changed.fingerprint() != photos.fingerprint()
    finally:
        (photo_folder / name).write_bytes(content)
    assert len(list((tmp_path / "cache").glob("????????????????????????.npy"))) == 2


def test_a_cache_that_was_broken_off_is_written_anew(photos, tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cache, "_fill", killed)
        with pytest.raises(KeyboardInterrupt):
            input_pipeline.decoded(photos, 8, 3, str(tmp_path))
    assert not list(tmp_path.glob("*.npy"))
    key = next(tmp_path.glob("*.lock")).with_suffix(".part")
    key.write_bytes(b"left by a process that had no time to tidy up")
    whole = input_pipeline.decoded(photos, 8, 3, str(tmp_path))
    assert not key.exists()
    assert (pixels(whole) == pixels(input_pipeline.decoded(photos, 8, 3, "memory"))).all()


def test_a_cache_that_another_process_writes_is_waited_for(photos, tmp_path, monkeypatch, caplog):
    whole = input_pipeline.decoded(photos, 8, 3, str(tmp_path))
    other = next(tmp_path.glob("*.lock")).open("w")
    assert locks.lock(other)
    waits = []
    monkeypatch.setattr(cache.time, "sleep", lambda seconds: (waits.append(seconds), other.close()))
    with caplog.at_level("INFO"):
        again = input_pipeline.decoded(photos, 8, 3, str(tmp_path))
    assert len(waits) == 1
    assert "waiting for the process that is writing" in caplog.text
    assert (pixels(again) == pixels(whole)).all()


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_what_does_not_fit_is_refused_before_it_starts(photos, tmp_path, place, monkeypatch):
    monkeypatch.setattr(cache, "SPARE_BYTES", 1e18)
    where = str(tmp_path) if place == "disk" else place
    with pytest.raises(UserError, match=r"^the decoded photos take .* MB of .* are free"):
        input_pipeline.decoded(photos, 16, 3, where)
    assert not list(tmp_path.glob("*.npy"))


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_broken_photos_are_left_out_up_to_a_limit(photos, tmp_path, place):
    where = str(tmp_path) if place == "disk" else place
    fine = [photos.read(index) for index in range(3)]
    split = from_encoded([fine[0], b"no", *fine[1:]], ["a", "b", "c", "d"], [0, 1, 2, 3])
    for _ in range(2):
        left = input_pipeline.decoded(split, 8, 3, where, 1)
        assert list(left.labels) == [0, 2, 3]
        assert list(left.names) == ["a", "c", "d"]
        (batch,) = input_pipeline.Loader(left, batch_size=3, resolution=8).evaluate(left)
        assert (batch["image"] == pixels(left)).all()
    with pytest.raises(UserError, match=r"^b is not a readable photo"):
        input_pipeline.decoded(split, 8, 3, where)


def test_statistics_are_computed_once(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("EFFICIENTNET_CACHE", str(tmp_path))
    first = input_pipeline.cached_statistics(photos, resolution=8)
    monkeypatch.setattr("input_pipeline.statistics.statistics", None)
    assert input_pipeline.cached_statistics(photos, resolution=8) == first
    (batch,) = input_pipeline.Loader(photos, batch_size=37, resolution=8).evaluate(photos)
    images = batch["image"] / 255
    np.testing.assert_allclose(first[0], images.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(first[1], images.std((0, 1, 2)), rtol=1e-6)
    with pytest.raises(TypeError):
        input_pipeline.cached_statistics(photos, resolution=9)
    # The same photos may be decoded to other pixels.
    monkeypatch.setattr("input_pipeline.statistics.VERSION", "another")
    with pytest.raises(TypeError):
        input_pipeline.cached_statistics(photos, resolution=8)

"""A user's own tf.data.Dataset trains as files do."""

import numpy as np
import pytest

import input_pipeline
from efficientnet.errors import UserError
from input_pipeline.quiet_tensorflow import tf
from input_pipeline.sources.dataset import from_dataset

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 7, 3)).astype(np.uint8)


def pairs(images, labels):
    return tf.data.Dataset.from_tensor_slices((images, labels))


@pytest.mark.parametrize("labels", [[0, 1, 2, 0, 1, 2], ["b", "a", "c", "b", "a", "c"]])
def test_pixels_and_labels_are_those_of_the_dataset(labels):
    source = from_dataset(pairs(PIXELS, labels), pairs(PIXELS[:2], labels[:2]))
    names = sorted({str(label) for label in labels})
    assert source.class_names == tuple(names)
    assert {name: len(split) for name, split in source.splits.items()} == {"train": 6, "test": 2}
    train = source.splits["train"]
    (batch,) = input_pipeline.Loader(train, batch_size=6, resolution=8).evaluate(train)
    assert [names[label] for label in batch["label"]] == [str(label) for label in labels]
    decoded = input_pipeline.decode.decode(source.splits["train"].read(3), 3)
    np.testing.assert_array_equal(decoded, PIXELS[3])


@pytest.mark.parametrize(
    ("labels", "names"),
    [([7, 3, 7, 3, 10, 3], ("3", "7", "10")), ([1.0, 0.0] * 3, ("0", "1")), (["01", "1"] * 3, ...)],
)
def test_labels_are_the_names_of_classes(labels, names):
    source = from_dataset(pairs(PIXELS, labels))
    assert source.class_names == (("01", "1") if names is ... else names)
    found = [source.class_names[label] for label in source.splits["train"].labels]
    assert found == [str(label).removesuffix(".0") for label in labels]


def test_encoded_and_gray_images_and_named_classes():
    encoded = [tf.io.encode_jpeg(image).numpy() for image in PIXELS]
    train, test = pairs(encoded, [1, 0, 1, 0, 1, 0]), pairs(PIXELS[..., :1], [1] * 6)
    source = from_dataset(train, test, ["cat", "dog"])
    assert source.class_names == ("cat", "dog")
    assert source.splits["train"].read(2) == encoded[2]
    assert list(source.splits["test"].labels) == [1] * 6


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (lambda ok: ok.repeat(), "'train' never ends: leave repeat"),
        (lambda ok: ok.batch(2), "'train' has batches"),
        (lambda ok: ok.take(0), "'train' is empty"),
        (lambda ok: ok.map(lambda image, label: image), "expected pairs"),
        (lambda ok: ok.map(lambda image, label: (image / 255, label)), "of type float32"),
        (lambda ok: ok.map(lambda image, label: (image[0], label)), r"shape \[7, 3\]"),
        (lambda ok: ok.map(lambda image, label: (image, label + 7)), "label '7', which is none of"),
        (lambda ok: ok.map(lambda image, label: (image, tf.one_hot(label, 2))), r"of shape \[2\]"),
        (lambda ok: ok.map(lambda image, label: (image, label / 2)), "has label 0.5: expected"),
    ],
)
def test_what_is_no_dataset_of_examples_is_refused(train, message):
    ok = pairs(PIXELS, [0, 1, 0, 1, 0, 1])
    with pytest.raises(UserError, match=message):
        from_dataset(train(ok), ok, ["cat", "dog"])

import subprocess
import sys

import numpy as np
import pytest

import input_pipeline
from efficientnet.errors import UserError

AUGMENT = (
    "random_resized_crop(scale=(0.5, 1.0))|flip_left_right|affine(25, 0.1, (0.9, 1.1), 8)"
    "|color_jitter(0.2, 0.2, 0.2)"
)


def gather(batches):
    batches = list(batches)
    return {key: np.concatenate([batch[key] for batch in batches]) for key in batches[0]}


def loader_of(photos, **changes):
    settings = {"batch_size": 8, "resolution": 16, "augment": AUGMENT, "seed": 5, **changes}
    return input_pipeline.Loader(photos, **settings)


def train(photos, start_step=0, num_steps=12, **changes):
    return loader_of(photos, **changes).train(start_step, num_steps)


def evaluate(photos, **settings):
    return input_pipeline.Loader(photos, **settings).evaluate(photos)


@pytest.fixture(scope="module")
def reference(photos):
    return gather(train(photos))


def test_a_training_batch_has_the_promised_types(photos):
    batch = next(train(photos))
    assert {key: (value.shape, value.dtype) for key, value in batch.items()} == {
        "image": ((8, 16, 16, 3), np.uint8),
        "label": ((8,), np.int32),
        "index": ((8,), np.int64),
        "mask": ((8,), np.bool_),
    }
    assert (batch["label"] == photos.labels[batch["index"]]).all()
    assert batch["mask"].all()


def test_every_example_comes_once_per_epoch_in_another_order(photos, reference):
    epochs = reference["index"][: 2 * len(photos)].reshape(2, -1)
    assert (np.sort(epochs, 1) == np.arange(len(photos))).all()
    assert (epochs[0] != epochs[1]).any()
    assert (gather(train(photos, seed=6, augment=""))["index"] != reference["index"]).any()


def test_augmentations_differ_between_epochs_and_seeds(photos, reference):
    first, second = (
        reference["image"][part][np.argsort(reference["index"][part])].astype(int)
        for part in (slice(0, len(photos)), slice(len(photos), 2 * len(photos)))
    )
    assert (abs(first - second).mean((1, 2, 3)) > 1).all()


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_the_number_of_threads_changes_nothing(photos, reference, threads):
    other = gather(train(photos, threads=threads))
    assert all((other[key] == reference[key]).all() for key in reference)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_number_of_processes_changes_nothing(photos, reference, count):
    parts = [gather(train(photos, process_index=i, process_count=count)) for i in range(count)]
    for key, expected in reference.items():
        rows = [part[key].reshape(12, 8 // count, *expected.shape[1:]) for part in parts]
        assert (np.concatenate(rows, 1).reshape(expected.shape) == expected).all()


def test_a_restart_goes_on_where_it_stopped(photos, reference):
    resumed = gather(train(photos, start_step=7, num_steps=5))
    assert all((resumed[key] == reference[key][7 * 8 :]).all() for key in reference)


def test_a_batch_may_be_larger_than_the_split(photos):
    few = photos.take(np.arange(3))
    index = gather(train(few, num_steps=2))["index"]
    assert (np.sort(index[:15].reshape(5, 3), 1) == [0, 1, 2]).all()
    alone = gather(train(photos.take(np.arange(1)), num_steps=1))["index"]
    assert (alone == 0).all()


def test_orders_of_many_epochs_are_all_different(photos):
    tiny = gather(train(photos, batch_size=37, num_steps=300, augment="", resolution=1))
    orders = tiny["index"].reshape(300, 37)
    assert len({tuple(order) for order in orders}) == 300
    # Each example is as likely at each place: 300 / 37 = 8.1 times, at most 8.1 + 6 sigma.
    counts = np.bincount(orders[:, 0], minlength=37)
    assert counts.min() > 0
    assert counts.max() < 25


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("batch_size", [12, 80])
def test_evaluation_counts_every_example_once(photos, batch_size, count):
    parts = [
        list(
            evaluate(
                photos, batch_size=batch_size, resolution=8, process_index=i, process_count=count
            )
        )
        for i in range(count)
    ]
    assert {len(part) for part in parts} == {-(-len(photos) // batch_size)}
    together = [np.concatenate([part[s]["index"] for part in parts]) for s in range(len(parts[0]))]
    mask = [np.concatenate([part[s]["mask"] for part in parts]) for s in range(len(parts[0]))]
    assert all(len(index) == batch_size for index in together)
    index = np.concatenate(together)[np.concatenate(mask)]
    assert (index == np.arange(len(photos))).all()


def test_one_channel_is_the_luma_and_gray_photos_fill_three(photos):
    color = gather(evaluate(photos, batch_size=10, resolution=16))["image"]
    gray = gather(evaluate(photos, batch_size=10, resolution=16, channels=1))
    assert gray["image"].shape[1:] == (16, 16, 1)
    luma = color[..., :3] @ np.array([0.299, 0.587, 0.114])
    assert abs(luma - gray["image"][..., 0]).mean() < 1.5
    assert (color[0] == color[0][..., :1]).all(), "photo 0 is gray"
    assert (color[1] != color[1][..., :1]).any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"augment": "spin"}, "unknown augmentation 'spin'"),
        ({"batch_size": 9, "process_count": 2}, "9 can't be shared equally by 2 processes"),
        ({"channels": 4}, "channels=4"),
        ({"resolution": 0}, "resolution=0"),
    ],
)
def test_wrong_arguments_are_refused_at_once(photos, changes, message):
    with pytest.raises(UserError, match=message):
        train(photos, **changes)


def test_random_evaluation_and_empty_splits_are_refused(photos):
    with pytest.raises(UserError, match="must not be random"):
        evaluate(photos, batch_size=4, resolution=8, preprocess="flip_left_right")
    with pytest.raises(UserError, match="no example to train on"):
        train(photos.take(np.arange(0)))


IN_THE_MIDDLE = """
import numpy as np
import input_pipeline
split = input_pipeline.Split(np.zeros(9, np.int32), "a" * 9, lambda _: np.zeros([64, 64, 3], "u1"))
batches = input_pipeline.Loader(split, batch_size=16, resolution=32).train(0, 10**9)
next(batches)
"""


def test_a_program_may_end_in_the_middle_of_batches():
    command = [sys.executable, "-c", IN_THE_MIDDLE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_iterations_over_one_dataset_do_not_disturb_each_other(photos, reference):
    dataset = loader_of(photos).train_dataset(0, 12)
    abandoned = dataset.as_numpy_iterator()
    next(abandoned)
    together = zip(dataset.as_numpy_iterator(), dataset.as_numpy_iterator(), strict=True)
    images = []
    for pair in together:
        abandoned = None
        images.append([batch["image"] for batch in pair])
    for found in zip(*images, strict=True):
        np.testing.assert_array_equal(np.concatenate(found), reference["image"])

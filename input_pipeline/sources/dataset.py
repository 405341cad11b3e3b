"""A user's own `tf.data.Dataset` of (image, label), given from Python.

    SOURCES['mine'] = lambda: from_dataset(train, test)

An image is uint8 [height, width, 1 or 3], or an encoded photo; a label a number from 0 or a name.
All are held in memory as encoded photos: PNG, which loses nothing, where they came decoded.
"""

from collections.abc import Sequence
from typing import Any

from efficientnet.errors import UserError
from input_pipeline.quiet_tensorflow import tf
from input_pipeline.sources.split import Source, Split, from_encoded, numbered_classes


def from_dataset(
    train: tf.data.Dataset, test: tf.data.Dataset, class_names: Sequence[str] | None = None
) -> Source:
    """Reads the photos to train on, part of which may be held out, and those to test on.

    Args:
      train: pairs (image, label), one example each; finite and not empty.
      test: the same of other photos.
      class_names: in label order. By default the sorted names that occur in `train`, or the
        numbers themselves.

    Raises:
      UserError: a dataset is not as described, or a label is of no class.
    """
    read = {name: _read(name, examples) for name, examples in (("train", train), ("test", test))}
    if class_names is None:
        found = {label for _, label in read["train"]}
        numbers = {label for label in found if isinstance(label, int)}
        if numbers:
            class_names = numbered_classes(numbers, "the dataset 'train'", "give class_names")
        else:
            class_names = sorted(map(str, found))
    splits = {name: _split(name, examples, class_names) for name, examples in read.items()}
    return Source("dataset", tuple(class_names), splits)


def _read(name: str, examples: tf.data.Dataset) -> list[tuple[bytes, int | str]]:
    what = f"the dataset {name!r}"
    if examples.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise UserError(f"{what} never ends: leave repeat() out of it")
    spec = examples.element_spec
    if not isinstance(spec, tuple) or len(spec) != 2:
        raise UserError(f"{what} has elements {spec}: expected pairs (image, label)")
    image, label = spec
    if label.shape.rank or (image.dtype == tf.string and image.shape.rank):
        raise UserError(f"{what} has batches: expected single examples, leave batch() out of it")
    if image.dtype not in (tf.uint8, tf.string) or not (
        label.dtype.is_integer or label.dtype == tf.string
    ):
        raise UserError(
            f"{what} has images of type {image.dtype.name} and labels of type {label.dtype.name}: "
            "expected uint8 pixels or encoded photos, and whole numbers or names"
        )
    found = [
        (_encoded(what, image), _label(label)) for image, label in examples.as_numpy_iterator()
    ]
    if not found:
        raise UserError(f"{what} is empty: expected pairs (image, label)")
    return found


def _encoded(what: str, image: Any) -> bytes:
    if isinstance(image, bytes):
        return image
    if image.ndim != 3 or image.shape[-1] not in (1, 3):
        raise UserError(
            f"{what} has an image of shape {list(image.shape)}: expected [height, width, 1 or 3]"
        )
    return tf.io.encode_png(image).numpy()


def _label(label: Any) -> int | str:
    return label.decode() if isinstance(label, bytes) else int(label)


def _split(name: str, examples: list[tuple[bytes, int | str]], class_names: Sequence[str]) -> Split:
    number_of: dict[int | str, int] = {label: n for n, label in enumerate(class_names)}
    number_of |= {number: number for number in range(len(class_names))}
    for _, label in examples:
        if label not in number_of:
            raise UserError(
                f"the dataset {name!r} has the label {label!r}, which is none of the "
                f"{len(class_names)} classes: correct it, or give class_names"
            )
    encoded = [photo for photo, _ in examples]
    names = [f"{name}/{row}" for row in range(len(encoded))]
    return from_encoded(encoded, names, [number_of[label] for _, label in examples])

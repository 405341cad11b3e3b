"""A user's own `tf.data.Dataset` of (image, label), given from Python.

    SOURCES['mine'] = lambda: from_dataset(train, test)

An image is uint8 [height, width, 1 or 3], or an encoded photo; a label a number or a name.
All are held in memory as encoded photos: PNG, which loses nothing, where they came decoded.
"""

from collections.abc import Sequence
from typing import Any

from efficientnet.errors import UserError
from input_pipeline.quiet_tensorflow import tf
from input_pipeline.sources.in_memory import Table, source_of
from input_pipeline.sources.split import Source


def from_dataset(
    train: tf.data.Dataset,
    test: tf.data.Dataset | None = None,
    class_names: Sequence[str] | None = None,
    validation: tf.data.Dataset | None = None,
) -> Source:
    """Reads the photos to train on, and those to test and to validate on if there are any.

    Args:
      train: pairs (image, label), one example each; finite and not empty.
      test: the same of other photos.
      class_names: in label order, for labels that are numbers from 0. By default the labels that
        occur in `train` are the names.
      validation: as `test`.

    Raises:
      UserError: a dataset is not as described, or a label is of no class.
    """
    given = {"train": train, "validation": validation, "test": test}
    tables = {
        split: _read(f"the dataset {split!r}", examples, class_names or ())
        for split, examples in given.items()
        if examples is not None
    }
    return source_of("dataset", tables)


def _read(what: str, examples: tf.data.Dataset, class_names: Sequence[str]) -> Table:
    if examples.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise UserError(f"{what} never ends: leave repeat() out of it")
    spec = examples.element_spec
    if not isinstance(spec, tuple) or len(spec) != 2:
        raise UserError(f"{what} has elements {spec}: expected pairs (image, label)")
    image, label = spec
    if image.shape.rank == 4 or (image.dtype == tf.string and image.shape.rank):
        raise UserError(f"{what} has batches: expected single examples, leave batch() out of it")
    if image.dtype not in (tf.uint8, tf.string) or label.dtype == tf.bool:
        raise UserError(
            f"{what} has images of type {image.dtype.name} and labels of type {label.dtype.name}: "
            "expected uint8 pixels or encoded photos, and whole numbers or names"
        )
    if label.shape.rank:
        raise UserError(
            f"{what} has labels of shape {list(label.shape)}: expected one number or name for each "
            "photo, such as the index of a one-hot label"
        )
    photos, labels = [], []
    for pixels, given in examples.as_numpy_iterator():
        photos.append(_encoded(what, pixels))
        labels.append(given)
    if not photos:
        raise UserError(f"{what} is empty: expected pairs (image, label)")
    return Table(what, photos, labels, class_names)


def _encoded(what: str, image: Any) -> bytes:
    if isinstance(image, bytes):
        return image
    if image.ndim != 3 or image.shape[-1] not in (1, 3):
        raise UserError(
            f"{what} has an image of shape {list(image.shape)}: expected [height, width, 1 or 3]"
        )
    return tf.io.encode_png(image).numpy()

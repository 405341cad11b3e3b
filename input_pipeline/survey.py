"""Every photo of a split once, those that can't be read among them."""

import os
from collections.abc import Callable, Iterator, Sequence

from input_pipeline.batches import broken
from input_pipeline.quiet_tensorflow import tf
from input_pipeline.sources.split import Split


def survey(
    split: Split, indices: Sequence[int], transform: Callable[[tf.Tensor], tf.Tensor]
) -> Iterator[tuple[int, bytes, str]]:
    """Reads examples and transforms what is encoded there, several at a time.

    Args:
      split: what to read.
      indices: of the examples.
      transform: encoded photo -> string []; fails where the photo can't be decoded.

    Yields:
      (index, transformed, '') or (index, b'', why it can't be read), in the order given.
    """

    def one(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return index, transform(split.read(index))

    found = (
        tf.data.Dataset.from_tensor_slices(tf.constant(list(indices), tf.int64))
        .map(tf.autograph.experimental.do_not_convert(one), num_parallel_calls=os.cpu_count())
        .ignore_errors()
        .as_numpy_iterator()
    )
    good, content = next(found, (-1, b""))
    for index in indices:
        if index == good:
            yield index, content, ""
            good, content = next(found, (-1, b""))
        else:
            yield index, b"", broken(split, index) or "it could be read at the second try only"

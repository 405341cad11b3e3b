"""A specification put to work: encoded photo and seed -> uint8 image of the target size."""

import itertools

from efficientnet.errors import UserError
from input_pipeline import decode, spec
from input_pipeline.color import Photometric
from input_pipeline.geometry import Geometric, Resize
from input_pipeline.quiet_tensorflow import tf
from input_pipeline.warp import compose, warp


class Augmentation:
    """Decodes and augments one photo inside tf.data.

    Runs of geometric operations become one warp each. Without an operation that brings the photo
    to the target size, it is resized at the end of the first run.
    """

    def __init__(self, text: str, resolution: int, channels: int = 3) -> None:
        """Parses the specification.

        Args:
          text: operations in reading order, see `spec.parse`.
          resolution: height and width of the result, pixels.
          channels: 3, or 1 for gray.

        Raises:
          UserError: the specification is wrong, or resolution or channels are.
        """
        if channels not in (1, 3):
            raise UserError(f"channels={channels!r}: images have 3 channels, or 1 for gray")
        if not isinstance(resolution, int) or resolution < 1:
            raise UserError(f"resolution={resolution!r} should be a positive number of pixels")
        self.resolution = resolution
        self.channels = channels
        operations = list(spec.parse(text))
        if not any(isinstance(o, Geometric) and o.resizes for o in operations):
            first_run = itertools.takewhile(lambda o: isinstance(o, Geometric), operations)
            operations.insert(len(list(first_run)), Resize())
        self.draws = sum(operation.draws for operation in operations)
        self._stages: list[list[Geometric] | Photometric] = []
        for operation in operations:
            if isinstance(operation, Photometric):
                self._stages.append(operation)
            elif self._stages and isinstance(self._stages[-1], list):
                self._stages[-1].append(operation)
            else:
                self._stages.append([operation])

    def __call__(self, encoded: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Encoded photo and int64 [2] seed -> uint8 [resolution, resolution, channels]."""
        draws = tf.random.stateless_uniform([self.draws], seed, alg="philox")
        image = decode.decode(encoded, self.channels)
        for number, stage in enumerate(self._stages):
            if isinstance(stage, Photometric):
                own, draws = draws[: stage.draws], draws[stage.draws :]
                # Draws for every pixel come from a stream of the operation's own.
                stream = tf.constant([0, (number + 1) << 48], tf.int64)
                own_seed = tf.bitwise.bitwise_xor(seed, stream)
                image = stage.apply(tf.cast(image, tf.float32), own, own_seed)
            else:
                used = sum(operation.draws for operation in stage)
                own, draws = draws[:used], draws[used:]
                size = tf.cast(tf.shape(image)[:2], tf.float32)
                matrix = compose(stage, size, self.resolution, own)
                skews = any(operation.skews for operation in stage)
                image = warp(image, matrix, self.resolution, skews)
        if image.dtype != tf.uint8:
            image = tf.cast(tf.clip_by_value(tf.round(image), 0.0, 255.0), tf.uint8)
        return tf.ensure_shape(image, [self.resolution, self.resolution, self.channels])

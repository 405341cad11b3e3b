"""Encoded photo -> uint8 pixels."""

from input_pipeline.quiet_tensorflow import tf


def decode(encoded: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes a JPEG, PNG, GIF (first frame) or BMP into uint8 [height, width, channels].

    With three channels a gray photo is repeated in each; with one, colors become their luma.
    """
    image = tf.io.decode_image(encoded, channels=channels, expand_animations=False)
    return tf.ensure_shape(image, [None, None, channels])

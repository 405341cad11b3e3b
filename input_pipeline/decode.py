"""Encoded photo -> uint8 pixels as a viewer would show them.

JPEG (gray, color, CMYK, EXIF orientation), PNG (any depth, palette, alpha over white), GIF (first
frame), BMP and WebP. What can't be decoded raises tf.errors.InvalidArgumentError.
"""

from collections.abc import Callable

from input_pipeline.quiet_tensorflow import tf

# ITU-R 601, as in Pillow and JPEG.
LUMA = (0.299, 0.587, 0.114)

# The EXIF tag of orientation (a short, one value) up to its value, in either byte order.
_LITTLE_ENDIAN = b"\x12\x01\x03\x00\x01\x00\x00\x00"
_BIG_ENDIAN = b"\x01\x12\x00\x03\x00\x00\x00\x01\x00"

# What a warp needs to know of a photo: float32 [2] height and width -> float32 [3, 3], target
# point -> photo point.
Plan = Callable[[tf.Tensor], tf.Tensor]


def decode(encoded: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes a photo into uint8 [height, width, channels].

    With three channels a gray photo is repeated in each; with one, colors become their luma.
    """
    image = tf.case(
        [
            (_is_jpeg(encoded), lambda: _decode_jpeg(encoded, channels)),
            (_starts(encoded, b"\x89PNG\r\n"), lambda: _decode_png(encoded, channels)),
        ],
        default=lambda: _decode_other(encoded, channels),
        exclusive=True,
    )
    return tf.ensure_shape(image, [None, None, channels])


def decode_window(
    encoded: tf.Tensor, channels: int, plan: Plan, target: int, margin: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes no more of a photo than a warp needs, and no finer.

    Of a JPEG only the window that the warp sees is decoded, with an inverse DCT that halves (or
    quarters, ...) both sides as long as no pixel of the target needs more.

    Args:
      encoded: the photo, string [].
      channels: 1 or 3.
      plan: gives the warp for a photo of a size.
      target: side of the square that the warp ends in.
      margin: pixels around the window that the warp interpolates with.

    Returns:
      uint8 [height, width, channels], and the warp from target points to points of these pixels.
    """

    header = tf.cond(
        _is_jpeg(encoded),
        lambda: tf.image.extract_jpeg_shape(encoded),
        lambda: tf.zeros([3], tf.int32),
    )
    # Whether libjpeg can cut: not what it cannot convert or what has to be turned afterwards.
    cuts = (header[2] > 0) & (header[2] <= 3) & tf.equal(_orientation(encoded), 1)
    whole = tf.cond(
        cuts,
        lambda: tf.zeros([0, 0, channels], tf.uint8),
        lambda: decode(encoded, channels),
    )
    shape = tf.where(cuts, header[:2], tf.shape(whole)[:2])
    size = tf.cast(shape, tf.float32)
    matrix = plan(size)

    def window() -> tuple[tf.Tensor, tf.Tensor]:
        halvings, ratio = _halvings(matrix)
        corners = matrix[:2] @ tf.constant(
            [[0.0, target, 0.0, target], [0.0, 0.0, target, target], [1.0, 1.0, 1.0, 1.0]]
        )
        corners = corners[::-1] / ratio
        # The tolerance is for rounding errors of whole-pixel windows.
        low = tf.floor(tf.reduce_min(corners, 1) + 1e-2) - margin
        high = tf.math.ceil(tf.reduce_max(corners, 1) - 1e-2) + margin
        limit = tf.math.ceil(size / ratio)
        low = tf.clip_by_value(low, 0.0, limit - 1)
        high = tf.clip_by_value(high, low + 1, limit)
        box = tf.cast(tf.concat([low, high - low], 0), tf.int32)

        def cut(times: int) -> Callable[[], tf.Tensor]:
            return lambda: tf.raw_ops.DecodeAndCropJpeg(
                contents=encoded,
                crop_window=box,
                channels=channels,
                ratio=2**times,
                dct_method="INTEGER_ACCURATE",
            )

        pixels = tf.switch_case(halvings, [cut(times) for times in range(4)])
        to_pixels = tf.stack([1 / ratio, 0.0, -low[1], 0.0, 1 / ratio, -low[0], 0.0, 0.0, 1.0])
        return pixels, tf.reshape(to_pixels, [3, 3]) @ matrix

    pixels, matrix = tf.cond(cuts, window, lambda: (whole, matrix))
    return tf.ensure_shape(pixels, [None, None, channels]), tf.ensure_shape(matrix, [3, 3])


def _halvings(matrix: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """How often (up to 3 times) a photo can be halved before the warp would enlarge it."""
    step = tf.reduce_min(tf.norm(matrix[:2, :2], axis=1))
    halvings = tf.floor(tf.math.log(tf.maximum(step, 1e-6)) / tf.math.log(2.0) + 1e-4)
    halvings = tf.clip_by_value(halvings, 0.0, 3.0)
    return tf.cast(halvings, tf.int32), tf.pow(2.0, halvings)


def _starts(encoded: tf.Tensor, signature: bytes) -> tf.Tensor:
    return tf.equal(tf.strings.substr(encoded, 0, len(signature)), signature)


def _head(encoded: tf.Tensor) -> tf.Tensor:
    """The first 32 bytes, filled up with zeros: cutting beyond the end would be an error."""
    return tf.strings.substr(tf.strings.join([tf.strings.substr(encoded, 0, 32), bytes(32)]), 0, 32)


def _is_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    return _starts(encoded, b"\xff\xd8\xff")


def _to_luma(image: tf.Tensor) -> tf.Tensor:
    luma = tf.reduce_sum(tf.cast(image, tf.float32) * LUMA, -1, keepdims=True)
    return tf.cast(tf.round(luma), tf.uint8)


def _decode_jpeg(encoded: tf.Tensor, channels: int) -> tf.Tensor:
    def plain(wanted: int) -> tf.Tensor:
        return tf.io.decode_jpeg(encoded, wanted, dct_method="INTEGER_ACCURATE")

    if channels == 1:
        # libjpeg has no way from CMYK to gray.
        components = tf.image.extract_jpeg_shape(encoded)[2]
        image = tf.cond(components <= 3, lambda: plain(1), lambda: _to_luma(plain(3)))
    else:
        image = plain(channels)
    orientation = _orientation(encoded)
    return tf.cond(tf.equal(orientation, 1), lambda: image, lambda: _turn(image, orientation))


def _turn(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns and mirrors as the EXIF orientation 1 to 8 says."""
    sideways = orientation >= 5
    image = tf.cond(sideways, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
    turn = tf.where(sideways, orientation - 4, orientation)
    upside_down = (turn == 3) | (turn == 4)
    mirrored = (turn == 2) | (turn == 3)
    return tf.raw_ops.Reverse(tensor=image, dims=tf.stack([upside_down, mirrored, False]))


def _orientation(encoded: tf.Tensor) -> tf.Tensor:
    """The EXIF orientation of a JPEG, int32 [] from 1 to 8; 1 where there is none.

    Anything else may be given too.
    """
    # EXIF stands first, or after a JFIF header of 18 bytes.
    head = _head(encoded)
    has_exif = tf.equal(tf.strings.substr(head, 6, 4), b"Exif") | tf.equal(
        tf.strings.substr(head, 24, 4), b"Exif"
    )

    def search() -> tf.Tensor:
        beginning = tf.strings.substr(encoded, 0, 65536)
        values = [tf.constant(b"\x01")]
        for pattern in (_BIG_ENDIAN, _LITTLE_ENDIAN):
            parts = tf.strings.split(beginning, pattern)
            after = tf.concat([parts, [b"\x01"]], 0)[1]
            values.append(tf.cond(tf.size(parts) > 1, lambda after=after: after, lambda: b""))
        found = tf.strings.reduce_join(tf.stack([*values[1:], values[0]]))
        value = tf.cast(tf.io.decode_raw(tf.strings.substr(found, 0, 1), tf.uint8)[0], tf.int32)
        return tf.where((value >= 1) & (value <= 8), value, 1)

    return tf.cond(has_exif, search, lambda: 1)


def _decode_png(encoded: tf.Tensor, channels: int) -> tf.Tensor:
    # Palettes, gray and colors that may have alpha.
    kind = tf.io.decode_raw(tf.strings.substr(_head(encoded), 25, 1), tf.uint8)[0]
    may_be_clear = (kind == 3) | (kind == 4) | (kind == 6)

    def on_white() -> tf.Tensor:
        pixels = tf.cast(tf.io.decode_png(encoded, 4), tf.float32)
        alpha = pixels[..., 3:] / 255
        image = tf.cast(tf.round(pixels[..., :3] * alpha + 255 * (1 - alpha)), tf.uint8)
        return image if channels == 3 else _to_luma(image)

    return tf.cond(may_be_clear, on_white, lambda: tf.io.decode_png(encoded, channels))


def _decode_other(encoded: tf.Tensor, channels: int) -> tf.Tensor:
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    return image if channels == 3 else _to_luma(image)

"""Decodes photos to uint8 pixels, as a viewer would show them.

It reads JPEG (gray, color, CMYK), PNG, BMP, WebP and GIF (any depth, palettes, transparency over
white, the first frame), oriented according to EXIF. Photos that can't be decoded raise
tf.errors.InvalidArgumentError.

OpenCV decodes ordinary JPEGs, because it adds little overhead to libjpeg and releases Python's
lock. TensorFlow decodes other JPEGs and windows of large ones, to the same pixels, and PNG. OpenCV
knows more variants of the other formats.
"""

import math
import struct
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from input_pipeline.augment.window import Matrix, Row, seen
from input_pipeline.quiet_tensorflow import tf

# Who calls it hears of a broken photo from the decoder that is tried next.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

# ITU-R 601, as in Pillow and JPEG.
LUMA = (0.299, 0.587, 0.114)

# JPEG's markers: of a frame's start, of any kind (the others in this range are tables), of EXIF, of
# a scan's start; and of the end, here with its first byte.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_APP1 = 0xE1
_SCAN = 0xDA
_SCAN_MARKER = b"\xff\xda"
_END = b"\xff\xd9"

# EXIF's byte orders, and the orientation's tag, type (a short) and number of values.
_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_ORIENTATION = [0x0112, 3, 1]

# PNG's signature, and its color types that may be transparent: palette, gray and color with alpha.
_PNG = b"\x89PNG\r\n"
_CLEAR = (b"\x03", b"\x04", b"\x06")

# The signatures of BMP, GIF and WebP, and OpenCV's conversions by number of channels.
_OTHERS = (b"BM", b"GIF8", b"RIFF")
_CONVERSIONS = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGBA}

# It pays to skip the pixels outside a window if there are at least this many.
WORTH_CUTTING = 200_000

# OpenCV's limit for the number of pixels of a photo.
_MOST_PIXELS = 2**30

# OpenCV's flags by the divisor of a JPEG's sides while it is decoded.
_REDUCED = {1: 0, 2: 16, 4: 32, 8: 64}

# Makes the warp for a photo from its height and width: target point -> photo point.
Plan = Callable[[int, int], Matrix]


def decode(encoded: bytes, channels: int) -> np.ndarray:
    """Decodes a photo into uint8 [height, width, channels].

    With three channels, a gray photo is repeated in each; with one, colors become luma.
    """
    if _is_jpeg(encoded):
        return _decode_jpeg(encoded, channels)
    image = (_decode_png if encoded.startswith(_PNG) else _decode_other)(encoded, channels)
    return _turn(image, _orientation(_exif_chunk(encoded)))


def decode_window(
    encoded: bytes, channels: int, plan: Plan, target: int, margin: int
) -> tuple[np.ndarray, Matrix]:
    """Decodes only the part of a photo that a warp needs, at the resolution that it needs.

    A JPEG is decoded with an inverse DCT that halves (or quarters, ...) both sides as long as the
    target needs no more detail; of a large JPEG, only the window that the warp covers is decoded.

    Args:
      encoded: the photo.
      channels: 1 or 3.
      plan: returns the warp for a photo of a given size.
      target: pixels per side of the warp's result.
      margin: pixels around the window that interpolation needs.

    Returns:
      uint8 [height, width, channels], and the warp from target points to points of these pixels.
    """
    header = _jpeg_header(encoded)
    size = header.height, header.width
    # Not photos that must be converted or rotated afterwards, nor those that can't be decoded.
    plain = 0 < header.components <= 3 and header.orientation == 1
    if not plain or math.prod(size) > _MOST_PIXELS:
        image = decode(encoded, channels)
        return image, plan(*image.shape[:2])
    across, down = plan(*size)
    ratio = 2 ** _halvings(across, down)
    if ratio > 1:
        across, down = (tuple(value / ratio for value in row) for row in (across, down))
    pixels = math.prod(size) / ratio**2
    # A truncated file is unreadable even if the pixels of the window are there.
    if pixels >= WORTH_CUTTING and encoded.rfind(_END, header.scan) > 0:
        left, right = seen(across, target, math.ceil(size[1] / ratio), margin)
        top, bottom = seen(down, target, math.ceil(size[0] / ratio), margin)
        if pixels - (bottom - top) * (right - left) >= WORTH_CUTTING:
            cut = tf.raw_ops.DecodeAndCropJpeg(
                contents=encoded,
                crop_window=[top, left, bottom - top, right - left],
                channels=channels,
                ratio=ratio,
                dct_method="INTEGER_ACCURATE",
            )
            moved = (*across[:2], across[2] - left), (*down[:2], down[2] - top)
            return cut.numpy(), moved
    return _whole_jpeg(encoded, channels, ratio), (across, down)


def _halvings(*matrix: Row) -> int:
    """How often a photo can be halved, up to 3 times, before the warp would enlarge it."""
    step = min(math.hypot(*row[:2]) for row in matrix)
    return min(max(math.floor(math.log2(max(step, 1e-6)) + 1e-4), 0), 3)


def _is_jpeg(encoded: bytes) -> bool:
    return encoded.startswith(b"\xff\xd8\xff")


class _Header(NamedTuple):
    """A JPEG as stored: size, number of components (all 0 without a frame), orientation."""

    height: int
    width: int
    components: int
    orientation: int  # from 1 to 8
    scan: int  # where the first scan begins, bytes


def _jpeg_header(encoded: bytes) -> _Header:
    """Reads the segments up to a JPEG's first scan."""
    shape, exif = (0, 0, 0), b""
    place = 2 if _is_jpeg(encoded) else len(encoded)
    while place + 10 <= len(encoded) and encoded[place] == 0xFF:
        marker = encoded[place + 1]
        if marker == 0xFF:  # padding
            place += 1
            continue
        if marker == _SCAN:
            break
        following = place + 2 + int.from_bytes(encoded[place + 2 : place + 4])
        if marker in _FRAMES:
            shape = struct.unpack_from(">HHB", encoded, place + 5)
        elif marker == _APP1 and not exif and encoded.startswith(b"Exif\0\0", place + 4):
            exif = encoded[place + 10 : following]
        place = following
    return _Header(*shape, _orientation(exif), place)


def _whole_jpeg(encoded: bytes, channels: int, ratio: int) -> np.ndarray:
    """Decodes a gray or color JPEG with its sides divided by `ratio`, as it is stored."""
    colors = cv2.IMREAD_COLOR_RGB if channels == 3 else cv2.IMREAD_GRAYSCALE
    flags = colors | cv2.IMREAD_IGNORE_ORIENTATION | _REDUCED[ratio]
    image = _by_opencv(encoded, flags)
    if image is None:
        # It gives the reason in an error.
        return tf.io.decode_jpeg(encoded, channels, ratio, dct_method="INTEGER_ACCURATE").numpy()
    return image.reshape(*image.shape[:2], channels)


def _by_opencv(encoded: bytes, flags: int) -> np.ndarray | None:
    """Decodes a photo; None if it can't be."""
    try:
        return cv2.imdecode(np.frombuffer(encoded, np.uint8), flags)
    except cv2.error:
        return None  # It has more than `_MOST_PIXELS`.


def _to_luma(image: np.ndarray) -> np.ndarray:
    return np.round(image @ np.array(LUMA))[..., None].astype(np.uint8)


def _decode_jpeg(encoded: bytes, channels: int) -> np.ndarray:
    header = _jpeg_header(encoded)
    if 0 < header.components <= 3:
        image = _whole_jpeg(encoded, channels, 1)
    elif not header.components and _SCAN_MARKER not in encoded:
        # libjpeg would write to the terminal.
        raise tf.errors.InvalidArgumentError(None, None, "the JPEG ends before its pixels")
    else:
        image = tf.io.decode_jpeg(encoded, 3, dct_method="INTEGER_ACCURATE").numpy()
        image = image if channels == 3 else _to_luma(image)
    return _turn(image, header.orientation)


def _turn(image: np.ndarray, orientation: int) -> np.ndarray:
    """Rotates and mirrors according to the EXIF orientation, 1 to 8."""
    if orientation >= 5:
        image, orientation = image.transpose(1, 0, 2), orientation - 4
    down = -1 if orientation in (3, 4) else 1
    across = -1 if orientation in (2, 3) else 1
    return np.ascontiguousarray(image[::down, ::across])


def _orientation(exif: bytes) -> int:
    """The orientation of the photo in EXIF, from 1 to 8; 1 if there is none.

    Only the first directory is about the photo; the second is about its thumbnail.
    """
    order = _ORDERS.get(exif[:4])
    if order is None:
        return 1
    entry = struct.Struct(order + "HHIH")
    try:
        (directory,) = struct.unpack_from(order + "I", exif, 4)
        (entries,) = struct.unpack_from(order + "H", exif, directory)
        for number in range(entries):
            *kind, value = entry.unpack_from(exif, directory + 2 + 12 * number)
            if kind == _ORIENTATION:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass  # It is truncated.
    return 1


def _exif_chunk(encoded: bytes) -> bytes:
    """The EXIF data of a PNG or WebP, before or after its pixels; empty if there is none."""
    png = encoded.startswith(_PNG)
    place = 8 if png else 12 if encoded.startswith(b"RIFF") else len(encoded)
    while place + 8 <= len(encoded):
        first, second = encoded[place : place + 4], encoded[place + 4 : place + 8]
        name, size = (second, first) if png else (first, second)
        end = place + 8 + int.from_bytes(size, "big" if png else "little")
        if name in (b"eXIf", b"EXIF"):
            return encoded[place + 8 : end].removeprefix(b"Exif\0\0")
        place = end + (4 if png else end % 2)  # a checksum, or padding to an even offset
    return b""


def _decode_png(encoded: bytes, channels: int) -> np.ndarray:
    # With other color types, this chunk before the pixels makes one color transparent.
    if encoded[25:26] not in _CLEAR and encoded.find(b"tRNS", 0, encoded.find(b"IDAT")) < 0:
        return tf.io.decode_png(encoded, channels).numpy()
    image = _over_white(tf.io.decode_png(encoded, 4).numpy())
    return image if channels == 3 else _to_luma(image)


def _decode_other(encoded: bytes, channels: int) -> np.ndarray:
    image = _by_opencv(encoded, cv2.IMREAD_UNCHANGED) if encoded.startswith(_OTHERS) else None
    if image is None:
        # It gives the reason in an error.
        image = tf.io.decode_image(encoded, 3, expand_animations=False).numpy()
    else:
        image = cv2.cvtColor(image, _CONVERSIONS[image[0, 0].size])
        image = _over_white(image) if image.shape[-1] == 4 else image
    return image if channels == 3 else _to_luma(image)


def _over_white(image: np.ndarray) -> np.ndarray:
    """Blends uint8 [height, width, 4] over white, returns [height, width, 3]."""
    pixels = image.astype(np.float32)
    alpha = pixels[..., 3:] / 255
    return np.round(pixels[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)

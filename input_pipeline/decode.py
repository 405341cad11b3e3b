"""Decodes photos to uint8 pixels, as a viewer would show them.

It reads the formats of `photo_formats` (gray, color, CMYK, palettes, up to 16 bits, transparency
over white, the first frame or page), oriented according to EXIF. Photos that can't be decoded raise
OSError or tf.errors.InvalidArgumentError.

OpenCV decodes ordinary JPEGs, because it adds little overhead to libjpeg and releases Python's
lock; TensorFlow decodes other JPEGs and windows of large ones, to the same pixels. Pillow decodes
the other formats.
"""

import contextlib
import functools
import io
import math
import struct
import warnings
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, TiffImagePlugin

from input_pipeline import photo_formats
from input_pipeline.augment.color import LUMA
from input_pipeline.augment.sampling import Matrix, Row, seen
from input_pipeline.quiet_tensorflow import tf

# Whoever reads a broken photo names it.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
warnings.filterwarnings("ignore", module=TiffImagePlugin.__name__)

# JPEG's markers: of a frame's start, of any kind (the others in this range are tables); of EXIF; of
# the scan and the end, which end the header; those without a segment; and the end with its 0xFF.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_APP1 = 0xE1
_STOPS = (0xDA, 0xD9)
_BARE = frozenset({0x00, 0x01, 0xFF, *range(0xD0, 0xD9)})
END = b"\xff\xd9"

# EXIF's byte orders, and the orientation's tag, type (a short) and number of values.
_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_ORIENTATION = [0x0112, 3, 1]

# A TIFF's tag, whose lowest bit says that there is a larger copy of the image.
_SUBFILE = 254

# It pays to skip the pixels outside a window if there are at least this many.
WORTH_CUTTING = 200_000

# A margin of `decode_window` that takes in the whole photo.
WHOLE = 2**30

# OpenCV's limit for the number of pixels of a photo.
MOST_PIXELS = 2**30

# OpenCV's flags by the divisor of a JPEG's sides while it is decoded.
_REDUCED = {1: 0, 2: 16, 4: 32, 8: 64}

# The errors of a split's `read` and of decoding.
UNREADABLE = (OSError, tf.errors.OpError)

# Makes the warp for a photo from its height and width: target point -> photo point.
Plan = Callable[[int, int], Matrix]


def in_one_line(error: Exception) -> str:
    """Returns in one line why a photo can't be read or decoded."""
    message = error.message if isinstance(error, tf.errors.OpError) else str(error)
    message = message.replace("}} ", "}}").split("}}")[-1].split("[Op:")[0]
    return " ".join(message.split())[:200]


def decode(encoded: bytes, channels: int) -> np.ndarray:
    """Decodes a photo into uint8 [height, width, channels].

    With three channels, a gray photo is repeated in each; with one, colors become luma.
    """
    return (_decode_jpeg if _is_jpeg(encoded) else _decode_other)(encoded, channels)


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
    header = jpeg_header(encoded)
    size = header.height, header.width
    # Not photos that must be converted or rotated afterwards, nor those that can't be decoded.
    plain = 0 < header.components <= 3 and header.orientation == 1
    if not plain or math.prod(size) > MOST_PIXELS:
        image = decode(encoded, channels)
        return image, plan(*image.shape[:2])
    across, down = plan(*size)
    ratio = 2 ** _halvings(across, down)
    if ratio > 1:
        across, down = (tuple(value / ratio for value in row) for row in (across, down))
    pixels = math.prod(size) / ratio**2
    # A truncated file is unreadable even if the pixels of the window are there.
    if pixels >= WORTH_CUTTING and encoded.rfind(END, header.scan) > 0:
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


class JpegHeader(NamedTuple):
    """A JPEG as stored: its frame (all 0 without one), orientation and first scan."""

    coding: int  # the frame's marker
    bits: int  # per component
    height: int
    width: int
    components: int
    orientation: int  # from 1 to 8
    scan: int  # where the first scan begins, bytes


def jpeg_header(encoded: bytes) -> JpegHeader:
    """Reads the segments up to a JPEG's first scan."""
    frame, exif = (0, 0, 0, 0, 0), b""
    place = 2 if _is_jpeg(encoded) else len(encoded)
    while 0 < place <= len(encoded) - 10:
        marker = encoded[place + 1]
        if encoded[place] != 0xFF or marker in _BARE:  # padding, or junk that libjpeg skips
            place = encoded.find(b"\xff", place + 1)
            continue
        if marker in _STOPS:
            break
        following = place + 2 + int.from_bytes(encoded[place + 2 : place + 4])
        if marker in _FRAMES:
            frame = marker, *struct.unpack_from(">BHHB", encoded, place + 4)
        elif marker == _APP1 and not exif and encoded.startswith(b"Exif\0\0", place + 4):
            exif = encoded[place + 10 : following]
        place = following
    return JpegHeader(*frame, _orientation(exif), place if place > 0 else len(encoded))


def _whole_jpeg(encoded: bytes, channels: int, ratio: int) -> np.ndarray:
    """Decodes a gray or color JPEG with its sides divided by `ratio`, as it is stored."""
    colors = cv2.IMREAD_COLOR_RGB if channels == 3 else cv2.IMREAD_GRAYSCALE
    flags = colors | cv2.IMREAD_IGNORE_ORIENTATION | _REDUCED[ratio]
    try:
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags)
    except cv2.error as error:  # it has more than `MOST_PIXELS`
        raise OSError(f"OpenCV can't decode this JPEG: {error}") from error
    if image is None:
        raise OSError("a JPEG that is damaged or cut off")
    return image.reshape(*image.shape[:2], channels)


def _decode_jpeg(encoded: bytes, channels: int) -> np.ndarray:
    header = jpeg_header(encoded)
    if 0 < header.components <= 3:
        image = _whole_jpeg(encoded, channels, 1)
    elif not header.components:  # libjpeg would write to the terminal
        raise OSError("a JPEG that ends before its pixels")
    else:
        image = tf.io.decode_jpeg(encoded, 3, dct_method="INTEGER_ACCURATE").numpy()
        if channels == 1:
            image = np.round(image @ np.array(LUMA))[..., None].astype(np.uint8)
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


def _decode_other(encoded: bytes, channels: int) -> np.ndarray:
    """Decodes a photo of another format by Pillow.

    Raises:
      OSError: it can't be.
    """
    form = photo_formats.find(encoded)
    if form is None:
        raise OSError("of no format that can be read")
    if missing := form.missing():
        raise OSError(f"{form.name} {missing}")
    if form.name == "PNG" and b"IEND" not in encoded:
        raise OSError("a PNG that is cut off")
    _register_formats()
    try:
        image: Image.Image = Image.OPEN[form.name][0](io.BytesIO(encoded), "")
        if math.prod(image.size) > MOST_PIXELS:
            raise OSError(f"it claims to have {image.width} x {image.height} pixels")
        image.load()  # which also turns a TIFF
        exif = (image.info.get("exif") or b"").removeprefix(b"Exif\0\0")
        image = _eight_bits(image)
        if image.has_transparency_data:
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image.convert("RGBA"))
        image = image.convert("L" if channels == 1 else "RGB")
    except (MemoryError, OSError):
        raise
    except Exception as error:  # whatever damaged bytes lead Pillow's readers into
        said = " ".join(str(error).split()) or type(error).__name__
        raise OSError(f"Pillow can't read this {form.name}: {said}") from error
    return _turn(np.asarray(image).reshape(image.height, image.width, channels), _orientation(exif))


@functools.cache
def _register_formats() -> None:
    Image.init()
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scales whole numbers of up to 16 bits from all of their range to 8 bits.

    Raises:
      OSError: its range is unknown, or it is only a small copy of a photo.
    """
    tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    if tags.get(_SUBFILE, 0) & 1:
        raise OSError("the small preview of a raw photo: convert the raw photo to JPEG")
    if image.mode == "F" or (tags and image.mode == "I"):
        kind = "fractions" if image.mode == "F" else "whole numbers of unknown range"
        raise OSError(f"its pixels are {kind}: save it with 8 or 16 bits without a sign")
    if not image.mode.startswith("I"):
        return image
    bits = tags.get(TiffImagePlugin.BITSPERSAMPLE, (16,))[0]
    levels = (np.asarray(image) >> (bits - 8)).astype(np.uint8)
    white_is_zero = tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0
    return Image.fromarray(255 - levels if white_is_zero else levels)

"""Photos that are damaged in every way that users have met, and odd ones that are not."""

import io
from typing import Any

import numpy as np
from PIL import Image

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 6, 3)).astype(np.uint8)
PHOTO = Image.fromarray(PIXELS).resize((90, 60), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


JPEG = encoded(PHOTO, "JPEG")
PNG = encoded(PHOTO, "PNG")
GIF = encoded(PHOTO.convert("P", palette=Image.Palette.ADAPTIVE), "GIF")
WEBP = encoded(PHOTO, "WEBP", lossless=True)
AVIF = encoded(PHOTO, "AVIF")
TIFF = encoded(PHOTO, "TIFF", compression="tiff_lzw")
BMP = encoded(PHOTO.convert("P", palette=Image.Palette.ADAPTIVE), "BMP")

# The frame's header: marker, length, bits, height, width.
FRAME = JPEG.index(b"\xff\xc0")
SCAN = JPEG.index(b"\xff\xda")


def with_claimed_side(data: bytes, side: int) -> bytes:
    """A JPEG whose header says that it is a square of another size."""
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + 2 * side.to_bytes(2, "big") + data[place + 4 :]


def with_segments(data: bytes, marker: int, content: bytes, count: int = 1) -> bytes:
    """A JPEG with more segments before its first."""
    segment = bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content
    return data[:2] + count * segment + data[2:]


# What a camera keeps in front of the photo: a whole JPEG, with an end of its own.
THUMBNAIL = b"Exif\0\0" + encoded(PHOTO.resize((30, 20)), "JPEG")

BROKEN = {
    "empty.jpg": b"",
    "zeros.jpg": bytes(3000),
    "text.jpg": b"these are not pixels",
    "missing page.jpg": b"<!DOCTYPE html><html><h1>404 Not Found</h1></html>\n",
    "pointer of git-lfs.png": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
    "header only.jpg": JPEG[:11],
    "truncated é.jpg": JPEG[:700],
    "without its last bytes.jpg": JPEG[:-2],
    "first half, then zeros.jpg": JPEG[: len(JPEG) // 2].ljust(len(JPEG), b"\0"),
    "truncated behind a thumbnail.jpg": with_segments(JPEG, 0xE1, THUMBNAIL)[:-50],
    "thumbnail only.jpg": with_segments(JPEG, 0xE1, THUMBNAIL)[: len(THUMBNAIL) + 4],
    "too large.jpg": with_claimed_side(JPEG, 40000),
    "no pixels.jpg": with_claimed_side(JPEG, 0),
    "lossless.jpg": JPEG[:FRAME] + b"\xff\xc3" + JPEG[FRAME + 2 :],
    "12 bits.jpg": JPEG[: FRAME + 4] + b"\x0c" + JPEG[FRAME + 5 :],
    "no frame.jpg": JPEG[:FRAME] + JPEG[SCAN:],
    "truncated progressive.jpg": encoded(PHOTO, "JPEG", progressive=True)[:-20],
    "truncated.png": PNG[:700],
    "without its last bytes.png": PNG[:-8],
    "damaged header.png": PNG[:12] + b"JUNK" + PNG[16:],
    "truncated.bmp": BMP[:2000],
    "truncated.webp": WEBP[:700],
    "longer than its file.webp": WEBP[:4] + (len(WEBP) + 90).to_bytes(4, "little") + WEBP[8:],
    "damaged.gif": GIF[:60],
    "truncated.avif": AVIF[:-40],
    "truncated.tif": TIFF[: len(TIFF) // 2],
}

FINE = {
    "photo.jpg": JPEG,
    "photo.png": PNG,
    "photo.gif": GIF,
    "photo.webp": WEBP,
    "photo.bmp": BMP,
    "photo.avif": AVIF,
    "photo.tif": TIFF,
    "gray.jpg": encoded(PHOTO.convert("L"), "JPEG"),
    "cmyk.jpg": encoded(PHOTO.convert("CMYK"), "JPEG"),
    "progressive.jpg": encoded(PHOTO, "JPEG", progressive=True),
    "one pixel.png": encoded(PHOTO.crop((3, 3, 4, 4)), "PNG"),
    "another ending.png": JPEG,
    "a newline behind it.jpg": JPEG + b"\n",
    "a film behind it.jpg": JPEG + np.random.default_rng(1).bytes(2**17),
    "another photo behind it.jpg": JPEG + JPEG[:400],
    "without its end, then zeros.jpg": JPEG[:-2] + bytes(5000),
    "first half, then an end.jpg": JPEG[: len(JPEG) // 2] + b"\xff\xd9",
    "thumbnail.jpg": with_segments(JPEG, 0xE1, THUMBNAIL),
    "truncated thumbnail.jpg": with_segments(JPEG, 0xE1, THUMBNAIL[:-9]),
    "long header.jpg": with_segments(JPEG, 0xE2, bytes(60000), 5),
    "junk before a segment.jpg": JPEG[:FRAME] + b"junk\xff\0junk" + JPEG[FRAME:],
    "fill bytes.jpg": JPEG[:FRAME] + b"\xff\xff" + JPEG[FRAME:],
    "junk behind it.png": PNG + b"junk" * 2000,
    "junk behind it.gif": GIF + b"junk",
    "animated.gif": encoded(
        PHOTO, "GIF", save_all=True, append_images=[PHOTO.transpose(Image.Transpose.ROTATE_180)]
    ),
    "large.jpg": encoded(PHOTO.resize((900, 600)), "JPEG"),
}

# Begins and ends as a PNG does, so that only decoding finds it.
HOLLOW = PNG[:60] + bytes(len(PNG) - 120) + PNG[-60:]

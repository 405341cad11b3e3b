"""Every format that people have, whatever its name says, to the pixels that Pillow shows."""

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

import input_pipeline
from input_pipeline import decode, photo_formats

pillow_heif = pytest.importorskip("pillow_heif")
pillow_heif.register_heif_opener()

COLORS = np.random.default_rng(0).integers(0, 256, (4, 6, 3)).astype(np.uint8)
PHOTO = Image.fromarray(COLORS).resize((90, 60), Image.Resampling.BICUBIC)
RAMP = (np.arange(60 * 90).reshape(60, 90) * 12).astype(np.uint16)
SIDEWAYS = Image.Exif()
SIDEWAYS[0x0112] = 6
ENDINGS = {
    "TIFF": ".tif",
    "PPM": ".ppm",
    "JPEG2000": ".jp2",
    "AVIF": ".avif",
    "HEIF": ".heic",
    "BMP": ".bmp",
    "GIF": ".gif",
    "WEBP": ".webp",
    "PNG": ".png",
    "JPEG": ".jpg",
}
# Largest mean difference of what is compressed with losses.
LOSSES = {"AVIF": 4.0, "HEIF": 4.0, "JPEG": 4.0, "WEBP": 4.0, "GIF": 12.0}


def encoded(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def tiff(tags, pixels, order="<"):
    """A TIFF in one strip of these bytes; values of tags are shorts, or tuples of them."""
    tags = {259: 1, 273: 0, 277: 1, 278: tags[257], 279: len(pixels), **tags}
    table, behind = b"", b""
    start = 8 + 2 + 12 * len(tags) + 4
    for tag, value in sorted(tags.items()):
        values = value if isinstance(value, tuple) else (value,)
        content = struct.pack(f"{order}{len(values)}H", *values)
        if tag == 273:
            content = struct.pack(order + "H", start + 12)
        if len(content) > 4:
            place = struct.pack(order + "I", start + len(behind))
            behind, content = behind + content, place
        table += struct.pack(order + "HHI", tag, 3, len(values)) + content.ljust(4, b"\0")
    magic = b"II*\0" if order == "<" else b"MM\0*"
    head = magic + struct.pack(order + "IH", 8, len(tags)) + table + bytes(4)
    return head + behind.ljust(12, b"\0") + pixels


@pytest.mark.parametrize("kind", ENDINGS)
def test_each_format(kind):
    data = encoded(PHOTO, kind)
    assert photo_formats.find(data).name == kind
    assert ENDINGS[kind] in photo_formats.find(data).endings
    color, gray = decode.decode(data, 3), decode.decode(data, 1)
    assert color.dtype == gray.dtype == np.uint8
    assert gray.shape == (60, 90, 1)
    assert abs(color.astype(int) - PHOTO).mean() <= LOSSES.get(kind, 0)
    assert abs(gray[..., 0].astype(int) - Image.fromarray(color).convert("L")).mean() < 1


@pytest.mark.parametrize("kind", ["TIFF", "AVIF", "HEIF", "PNG", "WEBP", "JPEG"])
def test_each_orientation(kind):
    upright = decode.decode(encoded(PHOTO, kind), 3).astype(int)
    turned = decode.decode(encoded(PHOTO, kind, exif=SIDEWAYS.tobytes()), 3)
    assert turned.shape == (90, 60, 3)
    assert abs(np.rot90(upright, -1) - turned).mean() < 4


@pytest.mark.parametrize("kind", ["TIFF", "PPM", "PNG", "JPEG2000"])
def test_sixteen_bits_are_scaled_to_eight(kind):
    data = encoded(Image.fromarray(RAMP), kind)
    for channels in (1, 3):
        expected = np.repeat((RAMP >> 8)[..., None], channels, 2)
        np.testing.assert_array_equal(decode.decode(data, channels), expected)


@pytest.mark.parametrize("order", ["<", ">"])
def test_more_bits_in_tiff(order):
    size = {256: 90, 257: 60}
    swapped = RAMP.astype(order + "u2").tobytes()
    data = tiff({**size, 258: 16, 262: 1}, swapped, order)
    np.testing.assert_array_equal(decode.decode(data, 1)[..., 0], RAMP >> 8)
    colors = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], -1)
    tags = {**size, 258: (16, 16, 16), 262: 2, 277: 3}
    data = tiff(tags, colors.astype(order + "u2").tobytes(), order)
    np.testing.assert_array_equal(decode.decode(data, 3), colors >> 8)


def test_white_may_be_zero():
    data = tiff({256: 90, 257: 60, 258: 16, 262: 0}, RAMP.tobytes())
    np.testing.assert_array_equal(decode.decode(data, 1)[..., 0], 255 - (RAMP >> 8))


@pytest.mark.parametrize("ending", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [3, 4])
def test_sixteen_bits_of_color(ending, channels):
    colors = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1], np.full_like(RAMP, 65535)], -1)
    _, data = cv2.imencode(ending, colors[..., [2, 1, 0, 3][:channels]])
    np.testing.assert_array_equal(decode.decode(data.tobytes(), 3), colors[..., :3] >> 8)


@pytest.mark.parametrize(
    ("data", "levels"),
    [
        (b"P5\n3 1\n1023\n" + np.array([0, 512, 1023], ">u2").tobytes(), [0, 128, 255]),
        (b"P5\n3 1\n100\n" + bytes([0, 50, 100]), [0, 128, 255]),
        (b"P2\n# by hand\n3 1\n15\n0 5 15\n", [0, 85, 255]),
        (b"P1\n3 1\n0 1 0\n", [255, 0, 255]),
    ],
)
def test_each_range_of_pgm_and_pbm(data, levels):
    assert decode.decode(data, 1).ravel().tolist() == levels


def test_twelve_bits_fill_the_range():
    # Two numbers in three bytes.
    packed = bytes([0xFF, 0xF0, 0x00, 0x80, 0x0F, 0xFF])
    data = tiff({256: 4, 257: 1, 258: 12, 262: 1}, packed)
    assert decode.decode(data, 1).ravel().tolist() == [255, 0, 128, 255]


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "1", "P", "RGBA", "L", "LA"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
def test_colors_and_compressions_of_tiff(mode, compression):
    photo = PHOTO.convert("L").convert(mode) if mode == "LA" else PHOTO.convert(mode)
    data = encoded(photo, "TIFF", compression=compression)
    atol = 1 if mode == "YCbCr" else 0
    np.testing.assert_allclose(decode.decode(data, 3), photo.convert("RGB"), atol=atol)


@pytest.mark.parametrize("kind", ["TIFF", "AVIF", "HEIF"])
def test_the_first_of_several_pages(kind):
    more = {"save_all": True, "append_images": [PHOTO.rotate(180)]}
    first = decode.decode(encoded(PHOTO, kind, **more), 3).astype(int)
    assert abs(first - PHOTO).mean() < 4


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            encoded(PHOTO.convert("F"), "TIFF"),
            "its pixels are fractions: save it with 8 or 16 bits",
        ),
        (encoded(PHOTO.convert("I"), "TIFF"), "whole numbers of unknown range"),
        (tiff({256: 90, 257: 60, 258: 16, 262: 1, 339: 2}, RAMP.tobytes()), "unknown range"),
        (
            tiff({256: 2, 257: 1, 258: (32,) * 3, 262: 2, 277: 3, 339: (3,) * 3}, bytes(24)),
            "Pillow can't read this TIFF: unknown pixel mode",
        ),
        (encoded(PHOTO, "TIFF", tiffinfo={254: 1}), "the small preview of a raw photo"),
        (b"8BPS" + bytes(60), "of no format that can be read"),
        (b"\0\0\0\x18ftypqt  " + bytes(60), "of no format that can be read"),
        (b"", "of no format that can be read"),
    ],
)
def test_what_has_no_true_pixels_is_refused(data, said):
    with pytest.raises(OSError, match=said):
        decode.decode(data, 3)


@pytest.mark.parametrize("kind", ["TIFF", "PPM", "JPEG2000", "AVIF", "HEIF"])
def test_what_is_cut_off_is_refused(kind):
    data = encoded(PHOTO, kind)
    for length in (12, 40, len(data) // 2, len(data) - 20):
        with pytest.raises(OSError, match=r"\w") as error:
            decode.decode(data[:length], 3)
        assert "\n" not in str(error.value)


def test_a_missing_extra_is_named(hide):
    hide("pillow_heif")
    with pytest.raises(OSError, match=r"HEIF needs pillow-heif: pip install '\.\[heic\]'"):
        decode.decode(encoded(PHOTO, "HEIF"), 3)
    assert decode.decode(encoded(PHOTO, "AVIF"), 3).shape == (60, 90, 3)


def test_a_folder_of_all_formats(tmp_path):
    for number, (kind, ending) in enumerate(ENDINGS.items()):
        folder = tmp_path / "ab"[number % 2]
        folder.mkdir(exist_ok=True)
        (folder / f"{kind}{ending.upper()}").write_bytes(encoded(PHOTO, kind))
    # An ending that lies, as of photos sent from a telephone, and none.
    (folder / "IMG_1.jpg").write_bytes(encoded(PHOTO, "HEIF"))
    (folder / "IMG_2").write_bytes(encoded(PHOTO, "AVIF"))
    paths = input_pipeline.find_photos([str(tmp_path)])
    assert len(paths) == len(ENDINGS) + 2
    split = input_pipeline.photo_split(paths)
    (batch,) = input_pipeline.Loader(
        split, batch_size=len(paths), resolution=48, preprocess="pad"
    ).evaluate(split)
    assert batch["mask"].all()
    average = batch["image"].mean(0)
    assert abs(batch["image"] - average).mean((1, 2, 3)).max() < 12

"""What users have: every row of the table of odd and broken files."""

import io
import subprocess
import sys

import numpy as np
import pytest
from damaged import BROKEN, PHOTO, encoded, with_claimed_side
from PIL import Image, ImageOps

import input_pipeline
from efficientnet.errors import UserError
from input_pipeline import decode
from input_pipeline.sources.split import from_files


def on_white(photo):
    """What a photo with alpha looks like."""
    white = Image.new("RGBA", photo.size, "white")
    white.alpha_composite(photo.convert("RGBA"))
    return white


# Its alpha rises from left to right.
CLEAR = PHOTO.copy()
CLEAR.putalpha(Image.fromarray(np.tile(np.arange(0, 180, 2, np.uint8), (60, 1))))


def one_color_clear(mode, kind):
    """A photo whose color in its middle is made transparent, and what it looks like."""
    photo = PHOTO.convert(mode, palette=Image.Palette.ADAPTIVE)
    data = encoded(photo, kind, transparency=photo.getpixel((45, 30)))
    return data, on_white(Image.open(io.BytesIO(data)))


PALETTE = PHOTO.convert("P", palette=Image.Palette.ADAPTIVE)
DEEP = Image.fromarray(np.asarray(PHOTO.convert("L")).astype(np.uint16) * 257)
SHOWN = {
    "gray JPEG": (encoded(PHOTO.convert("L"), "JPEG"), None),
    "CMYK JPEG": (encoded(PHOTO.convert("CMYK"), "JPEG"), None),
    "16-bit PNG": (encoded(DEEP, "PNG"), PHOTO.convert("L")),
    "palette PNG": (encoded(PALETTE, "PNG"), PALETTE),
    "1-bit PNG": (encoded(PHOTO.convert("1"), "PNG"), None),
    "alpha": (encoded(CLEAR, "PNG"), on_white(CLEAR)),
    "gray with alpha": (encoded(PHOTO.convert("LA"), "PNG"), PHOTO.convert("L")),
    "animated GIF": (
        encoded(PALETTE, "GIF", save_all=True, append_images=[PALETTE.rotate(180)]),
        PALETTE,
    ),
    "transparent color in a PNG": one_color_clear("RGB", "PNG"),
    "transparent gray in a PNG": one_color_clear("L", "PNG"),
    "transparent color in a GIF": one_color_clear("P", "GIF"),
    "BMP": (encoded(PHOTO, "BMP"), None),
    "gray BMP": (encoded(PHOTO.convert("L"), "BMP"), None),
    "palette BMP": (encoded(PALETTE, "BMP"), None),
    "1-bit BMP": (encoded(PHOTO.convert("1"), "BMP"), None),
    "WebP": (encoded(PHOTO, "WEBP", lossless=True), None),
    "WebP with alpha": (encoded(CLEAR, "WEBP", lossless=True), on_white(CLEAR)),
    "animated WebP": (
        encoded(PHOTO, "WEBP", lossless=True, save_all=True, append_images=[PHOTO.rotate(180)]),
        None,
    ),
    "1x1 JPEG": (encoded(PHOTO.crop((3, 3, 4, 4)), "JPEG"), None),
    "1x1 PNG": (encoded(PHOTO.crop((3, 3, 4, 4)), "PNG"), None),
}


@pytest.mark.parametrize("name", SHOWN)
def test_odd_files_are_shown_as_a_viewer_shows_them(name):
    data, shown = SHOWN[name]
    shown = shown or Image.open(io.BytesIO(data))
    color = decode.decode(data, 3)
    np.testing.assert_allclose(color, np.asarray(shown.convert("RGB")), atol=1)
    gray = decode.decode(data, 1)[..., 0]
    np.testing.assert_allclose(gray, np.asarray(shown.convert("L")), atol=1)


def exif(orientation, order):
    if order == "little":
        entry = b"\x12\x01\x03\x00\x01\x00\x00\x00" + bytes([orientation]) + bytes(3)
        return b"Exif\0\0II*\0\x08\0\0\0\x01\0" + entry + bytes(4)
    entry = b"\x01\x12\x00\x03\x00\x00\x00\x01\x00" + bytes([orientation]) + bytes(2)
    return b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + entry + bytes(4)


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_turns_the_photo(orientation, order):
    data = encoded(PHOTO, "JPEG", exif=exif(orientation, order))
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(decode.decode(data, 3), expected)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_other_photos_are_turned_as_well(orientation, kind):
    data = encoded(PHOTO, kind, exif=exif(orientation, "big"), lossless=True)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(decode.decode(data, 3), expected)
    np.testing.assert_allclose(decode.decode(data, 1)[..., 0], expected.convert("L"), atol=1)


@pytest.mark.parametrize("length", [0, 6, 20])
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_other_photos_with_exif_that_is_cut_off_are_not(length, kind):
    data = encoded(PHOTO, kind, exif=exif(6, "big")[:length])
    assert decode.decode(data, 3).shape == (60, 90, 3)


def with_inserted(data, before, inserted):
    place = data.index(before)
    return data[:place] + inserted + data[place:]


def test_exif_may_stand_behind_a_pngs_pixels():
    data = encoded(PHOTO, "PNG", exif=exif(6, "big"))
    begin, pixels = data.index(b"eXIf") - 4, data.index(b"IDAT") - 4
    assert begin < pixels
    behind = with_inserted(data[:begin] + data[pixels:], b"\0\0\0\0IEND", data[begin:pixels])
    np.testing.assert_array_equal(decode.decode(behind, 3), decode.decode(data, 3))


COMMENT = b"\xff\xfe\0\x07hello"
PHOTOSHOP = b"\xff\xed\0\x1aPhotoshop 3.0\x008BIM\4\4" + bytes(4)
XMP = b"\xff\xe1\0\x1fhttp://ns.adobe.com/xap/1.0/\0"


@pytest.mark.parametrize(
    "inserted",
    [COMMENT, PHOTOSHOP + COMMENT, XMP, b"\xff\xff"],
    ids=["comment", "Photoshop", "XMP", "fill bytes"],
)
def test_exif_is_found_behind_other_segments(inserted):
    data = encoded(PHOTO, "JPEG", exif=exif(6, "big"))
    expected = decode.decode(data, 3)
    assert expected.shape == (90, 60, 3)
    behind = with_inserted(data, b"\xff\xe1", inserted)
    np.testing.assert_array_equal(decode.decode(behind, 3), expected)


@pytest.mark.parametrize("order", ["little", "big"])
def test_the_thumbnails_orientation_is_not_the_photos(order):
    turned = exif(6, order)
    header, directory = turned[:14], turned[14:]
    # An empty directory, which says where the next one is.
    empty = bytes(2) + (14).to_bytes(4, order)
    data = encoded(PHOTO, "JPEG", exif=header + empty + directory)
    assert decode.decode(data, 3).shape == (60, 90, 3)


@pytest.mark.parametrize("length", [4, 6, 10, 14, 16, 20, 25])
def test_exif_that_is_cut_off_turns_nothing(length):
    data = encoded(PHOTO, "JPEG", exif=exif(6, "big")[:length])
    assert decode.decode(data, 3).shape == (60, 90, 3)


def test_fill_bytes_between_segments_do_not_hide_a_photos_size():
    data = with_inserted(encoded(PHOTO, "JPEG"), b"\xff\xdb", b"\xff\xff")
    halved, _ = decode.decode_window(
        data, 3, lambda height, width: ((2.0, 0.0, 0.0), (0.0, 2.0, 0.0)), 30, 0
    )
    assert halved.shape == (30, 45, 3)


def split_of(folder, **files):
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return from_files(folder, list(files), [0] * len(files))


def test_training_sees_an_exif_rotated_photo_upright(tmp_path):
    data = encoded(PHOTO, "JPEG", exif=exif(6, "big"))
    upright = encoded(ImageOps.exif_transpose(Image.open(io.BytesIO(data))), "PNG")
    split = split_of(tmp_path, a=data, b=upright)
    # An operation that draws takes training's way of decoding.
    loader = input_pipeline.Loader(
        split, batch_size=2, resolution=20, augment="resize|flip_left_right(0)"
    )
    first, second = next(loader.train(0, 1))["image"]
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("size", [(20000, 40), (30, 20000)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_very_long_photos(tmp_path, size, kind):
    split = split_of(tmp_path, **{f"long.{kind}": encoded(PHOTO.resize(size), kind)})
    for augment in ("resize|flip_left_right", "random_resized_crop|rotate(25)"):
        loader = input_pipeline.Loader(split, batch_size=1, resolution=32, augment=augment)
        assert next(loader.train(0, 1))["image"].std() > 5


def top_left_corner(height, width):
    return (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)


# So large that only the part of it that a warp sees is decoded.
LARGE = encoded(PHOTO.resize((900, 600)), "JPEG")


def test_a_large_photo_that_is_cut_off_is_unreadable_wherever_one_looks():
    # Its thumbnail has an end of its own.
    data = with_inserted(LARGE, b"\xff\xdb", b"\xff\xe2\0\x04\xff\xd9")
    assert decode.decode_window(data, 3, top_left_corner, 64, 0)[0].shape == (64, 64, 3)
    for end in (len(data) // 2, -1):
        with pytest.raises(OSError, match="cut off"):
            decode.decode_window(data[:end], 3, top_left_corner, 64, 0)


@pytest.mark.parametrize(
    "appended", [bytes(9), b"\n", b"a film", LARGE], ids=["zeros", "newline", "film", "photo"]
)
def test_what_cameras_append_to_a_large_photo_does_not_change_it(appended):
    photo, _ = decode.decode_window(LARGE, 3, top_left_corner, 64, 0)
    longer, _ = decode.decode_window(LARGE + appended, 3, top_left_corner, 64, 0)
    np.testing.assert_array_equal(photo, longer)
    np.testing.assert_array_equal(decode.decode(LARGE, 3), decode.decode(LARGE + appended, 3))


@pytest.mark.parametrize("step", [1.0, 8.0])
def test_a_header_that_claims_too_much_is_refused_however_little_is_seen(step):
    data = with_claimed_side(LARGE, 40000)
    with pytest.raises(OSError, match="pixels"):
        decode.decode_window(data, 3, lambda *_: ((step, 0.0, 0.0), (0.0, step, 0.0)), 64, 0)


LOOK_AT_EACH = """
import pathlib, sys
import input_pipeline
from input_pipeline import decode
from input_pipeline.decode import UNREADABLE
def window(*photo):
    return decode.decode_window(*photo, lambda *_: ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)), 8, 0)
for path in pathlib.Path(sys.argv[1]).iterdir():
    for look in (decode.decode, window):
        try:
            look(path.read_bytes(), 3)
        except UNREADABLE:
            continue
        print(path.name, "was decoded")
"""


def test_no_decoder_writes_to_the_terminal(tmp_path):
    for name, data in BROKEN.items():
        (tmp_path / name).write_bytes(data)
    command = [sys.executable, "-c", LOOK_AT_EACH, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.fixture
def partly_broken(tmp_path):
    """Nine photos, three of them broken."""
    chosen = ("empty.jpg", "truncated é.jpg", "truncated.png")
    files = {f"{number} fine.jpg": encoded(PHOTO, "JPEG") for number in range(6)}
    return split_of(tmp_path, **files, **{name: BROKEN[name] for name in chosen})


@pytest.mark.parametrize("name", BROKEN)
def test_a_photo_that_is_not_one_is_named(tmp_path, name):
    fine = encoded(PHOTO, "JPEG")
    split = split_of(tmp_path, **{"1.jpg": fine, "2.jpg": fine, name: BROKEN[name], "4.jpg": fine})
    loader = input_pipeline.Loader(split, batch_size=2, resolution=8)
    evaluation = loader.evaluate(split)
    next(evaluation)
    with pytest.raises(UserError, match=f"^{name} is not a readable photo: replace") as error:
        next(evaluation)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=f"^{name} is not a readable photo: replace"):
        list(loader.train(0, 2))


def test_a_file_that_vanished_or_cannot_be_read_is_named(tmp_path):
    split = split_of(tmp_path, **{"a.jpg": encoded(PHOTO, "JPEG"), "b.jpg": b""})
    loader = input_pipeline.Loader(split, batch_size=2, resolution=8)
    (tmp_path / "b.jpg").unlink()
    with pytest.raises(UserError, match=r"^b\.jpg is not a readable photo"):
        list(loader.evaluate(split))
    (tmp_path / "b.jpg").mkdir()
    with pytest.raises(UserError, match=r"^b\.jpg is not a readable photo"):
        list(loader.evaluate(split))


def test_broken_photos_are_skipped_and_counted_up_to_a_limit(partly_broken):
    def loader(broken_limit):
        return input_pipeline.Loader(
            partly_broken, batch_size=3, resolution=8, broken_limit=broken_limit
        )

    tolerant = loader(3)
    batches = tolerant.train(0, 6)
    rows = [(i, m) for batch in batches for i, m in zip(batch["index"], batch["mask"], strict=True)]
    assert sorted(tolerant.skipped) == ["empty.jpg", "truncated é.jpg", "truncated.png"]
    for epoch in (rows[:9], rows[9:]):
        assert sorted(epoch) == [(index, index < 6) for index in range(9)]
    strict = loader(2).train(0, 6)
    with pytest.raises(UserError, match="is not a readable photo, and 2 were skipped before"):
        list(strict)


def test_evaluation_masks_what_it_skips(partly_broken):
    loader = input_pipeline.Loader(partly_broken, batch_size=4, resolution=8, broken_limit=3)
    mask = np.concatenate([batch["mask"] for batch in loader.evaluate(partly_broken)])
    assert list(mask) == [True] * 6 + [False] * 6
    assert len(loader.skipped) == 3


@pytest.mark.parametrize("count", [1, 3])
def test_in_place_of_a_broken_photo_stands_the_next_one(tmp_path, count):
    colors = [Image.new("RGB", (20, 20), (level, 0, 0)) for level in (50, 100, 150, 200)]
    files = {f"{number}.png": encoded(photo, "PNG") for number, photo in enumerate(colors)}
    split = split_of(tmp_path, **files, **{"4.jpg": b"", "5.jpg": b"no photo"})
    parts = [
        next(
            input_pipeline.Loader(
                split,
                batch_size=6,
                resolution=8,
                broken_limit=2,
                process_index=part,
                process_count=count,
            ).train(0, 1)
        )
        for part in range(count)
    ]
    index, mask = (np.concatenate([part[name] for part in parts]) for name in ("index", "mask"))
    shown = np.concatenate([part["image"] for part in parts])[:, 4, 4, 0][np.argsort(index)]
    assert list(mask[np.argsort(index)]) == [True] * 4 + [False] * 2
    # The last are followed by the first.
    assert list(shown) == [50, 100, 150, 200, 50, 50]

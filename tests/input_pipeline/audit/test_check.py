"""scripts/prepare_data.py --check and --report."""

import json

import numpy as np
from pages import assert_self_contained
from PIL import Image
from preparing import encoded, run


def test_check_lists_everything_that_is_wrong(folder, capsys):
    (folder / "train" / "daisy" / "2.jpg").write_bytes(encoded(2)[:300])
    (folder / "train" / "daisy" / "4.jpg").write_text("text")
    (folder / "test" / "daisy" / "6.jpg").write_bytes(encoded(1))
    (folder / "train" / "daisy" / "0.jpg").write_bytes(b"")
    status, text = run(capsys, "folders", "--directory", folder, "--check", "--json")
    assert status == 1
    assert "error: 4 of 4 problems must be mended" in text.err
    assert "3 x broken, 1 x duplicate" in text.err
    lines = text.out.splitlines()
    for name in ("0", "2", "4"):
        assert any(line.startswith(f"broken: train/daisy/{name}.jpg: ") for line in lines)
    assert (
        "duplicate: test/daisy/6.jpg: the same as train/tulip ü/1.jpg (train, tulip ü), but here "
        "test, daisy" in lines
    )
    result = json.loads(lines[-1])
    assert result["problems"] == 4
    assert [problem["kind"] for problem in result["found"]] == ["broken"] * 3 + ["duplicate"]
    assert all(problem["must_mend"] for problem in result["found"])


def test_check_lists_a_photo_that_stands_twice_in_its_class(folder, capsys):
    (folder / "train" / "daisy" / "2.jpg").write_bytes(encoded(0))
    status, text = run(capsys, "folders", "--directory", folder, "--check")
    assert status == 0
    assert text.out.splitlines()[1:] == [
        "duplicate: train/daisy/2.jpg: the same as train/daisy/0.jpg (train, daisy), in the "
        "same split and class: keep one",
        "1 problems",
    ]


def detailed(seed, side=160):
    rng = np.random.default_rng(seed)
    pixels = Image.fromarray(rng.integers(0, 256, (24, 24, 3)).astype(np.uint8))
    return pixels.resize((side, side), Image.Resampling.NEAREST)


def saved(folder, name, image, **options):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


def test_check_tells_what_must_be_mended_from_what_may_stay(folder, capsys):
    for seed in range(8):
        saved(folder, f"train/tulip ü/{seed}.jpg", detailed(seed))
    saved(folder, "train/tulip ü/again.png", detailed(2))
    saved(folder, "train/tulip ü/dark.png", Image.new("RGB", (80, 80)))
    arguments = ("folders", "--directory", folder, "--check")
    status, text = run(capsys, *arguments)
    assert status == 0, text.err
    near, dark = text.out.splitlines()[1:-1]
    assert near.startswith("near duplicate: train/tulip ü/again.png: ")
    assert near.endswith(
        "like train/tulip ü/2.jpg (train, tulip ü), in the same split and class: keep one"
    )
    assert dark == "dark: train/tulip ü/dark.png: train, tulip ü"
    saved(folder, "test/tulip ü/small.jpg", detailed(4).resize((70, 90)))
    saved(folder, "train/daisy/bright.jpg", detailed(5).point(lambda value: value // 2 + 60))
    saved(folder, "train/one of its kind/one.jpg", detailed(9))
    status, text = run(capsys, *arguments)
    assert status == 1
    assert text.err.endswith(
        "error: 3 of 6 problems must be mended before results can be trusted: "
        "2 x near duplicate, 1 x one-photo class\n"
    )
    assert (
        "one-photo class: one of its kind: the train split has no other photo of it"
        in text.out.splitlines()
    )
    assert "untested class: one of its kind: no photo in the test split" in text.out.splitlines()


def test_photos_that_all_look_alike_are_no_duplicates(tmp_path, capsys):
    """Cells before the same background; one line for all of them."""
    for seed in range(24):
        image = detailed(0)
        image.putpixel((seed, 7), (0, 0, 0))
        saved(tmp_path, f"train/{seed % 2}/{seed}.png", image)
        saved(tmp_path, f"test/{seed % 2}/{seed}.png", detailed(seed + 1))
    status, text = run(capsys, "folders", "--directory", tmp_path, "--check")
    assert status == 0
    (line,) = text.out.splitlines()[1:-1]
    assert line.startswith("alike: train/0/0.png: looks like 23 other photos")


def test_the_report_is_one_page_with_every_name_escaped(tmp_path, capsys):
    odd = "<b>$x_$ & 100% שלום 🌷"
    for number, name in enumerate([odd, "daisy"] * 4):
        saved(tmp_path, f"photos/train/{name}/{number} {name}.jpg", detailed(number))
    saved(tmp_path, f"photos/test/{odd}/copy.jpg", detailed(0).resize((90, 80)))
    saved(tmp_path, "photos/test/daisy/other.jpg", detailed(99))
    (tmp_path / "photos/train/daisy/broken <i>.jpg").write_bytes(b"text")
    status, text = run(
        capsys, "folders", "--directory", tmp_path / "photos", "--report", tmp_path / "a/audit",
        "--json",
    )  # fmt: skip
    assert status == 0, text.err
    result = json.loads(text.out.splitlines()[-1])
    assert result["problems"] == 2
    assert result["report"] == str(tmp_path / "a/audit/index.html")
    page = assert_self_contained((tmp_path / "a/audit/index.html").read_bytes())
    assert f"0 {odd}.jpg" in page.text
    for words in (
        "In two splits, or with two labels: 1 pairs",
        "broken <i>.jpg",
        "Blurriest",
        "on average",
    ):
        assert words in page.text
    assert not list((tmp_path / "a/audit").glob("*.part"))


def test_a_report_that_can_not_be_written_is_said_before_any_photo_is_read(folder, capsys):
    (folder / "file").write_text("")
    status, text = run(
        capsys, "folders", "--directory", folder, "--report", folder / "file" / "audit"
    )
    assert status == 1
    assert "is a file" in text.err
    assert not text.out

"""Files that are written whole, and buckets that can't be reached."""

import pathlib
import types
from collections.abc import Callable
from typing import Any

import pytest
from etils import epath
from etils.epath import gpath

from configs import common, solar_lite0
from efficientnet.commands import command_line, convert_weights, explain, export, predict, sweep
from efficientnet.errors import UserError
from efficientnet.paths import (
    cache_directory,
    check_file,
    check_folder,
    make_folder,
    printable,
    unreachable,
    write_whole,
)
from efficientnet.training.run import run
from input_pipeline.quiet_tensorflow import tf


def test_two_writers_of_a_file_leave_each_other_alone(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = epath.Path(tmp_path / "shared.json")
    write = type(path).write_bytes

    def overtaken(part: epath.Path, content: bytes) -> None:
        write(part, content)
        monkeypatch.undo()
        write_whole(path, b"by another")

    monkeypatch.setattr(type(path), "write_bytes", overtaken)
    write_whole(path, b"by one")
    assert path.read_bytes() == b"by one"
    assert list(tmp_path.iterdir()) == [tmp_path / "shared.json"]


def test_a_file_that_can_not_be_written_leaves_nothing(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a folder").mkdir()
    with pytest.raises(IsADirectoryError, match="a folder"):
        write_whole(epath.Path(tmp_path / "a folder"), b"content")
    with pytest.raises(FileNotFoundError, match=r"missing/x\.json"):
        write_whole(epath.Path(tmp_path / "missing" / "x.json"), b"content")
    assert list(tmp_path.iterdir()) == [tmp_path / "a folder"]


# As TensorFlow tells what Google answers, or that nobody does.
ANSWERS = [
    tf.errors.PermissionDeniedError(
        None,
        None,
        "Error: HTTP response code 401 with body '{\n 401 }'\n\t when reading gs://mine/a",
    ),
    tf.errors.FailedPreconditionError(
        None, None, "Could not resolve host: x\n\t when reading metadata of gs://mine/a"
    ),
    tf.errors.NotFoundError(None, None, "The specified bucket gs://mine/a was not found."),
    OSError("The specified bucket gs://mine/a was not found."),  # as etils has made it
    ValueError("PERMISSION_DENIED: Error writing gs://mine/a: 403"),  # TensorStore's
]


@pytest.fixture(params=ANSWERS, ids=lambda answer: type(answer).__name__)
def refused(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is asked of any bucket, the answer is an error."""

    def refuse(*_: Any, **__: Any) -> None:
        raise request.param

    backend = types.SimpleNamespace(exists=refuse, isdir=refuse, makedirs=refuse, open=refuse)
    monkeypatch.setattr(gpath.backend_lib, "tf_backend", backend)


SENTENCE = "gs://mine/a can't be reached: check its name, the network, and that you are logged in"


@pytest.mark.usefixtures("refused")
def test_a_script_that_can_not_reach_a_bucket_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["gs://mine/a", "--output=gs://mine/b.safetensors"]
    assert command_line.run(convert_weights.main, words) == 1
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: {SENTENCE}")
    assert printed.count("\n") == 1


@pytest.mark.usefixtures("refused")
def test_a_run_that_can_not_reach_a_bucket_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("efficientnet.training.workdir._check_google_storage", lambda path: None)
    with pytest.raises(UserError) as raised:
        run(common.parse(solar_lite0.get_config()), "gs://mine/runs")
    assert str(raised.value).startswith(SENTENCE)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (explain, ["photo.jpg", "--weights=lite_wheel", "--output=gs://mine/a.png"]),
        (export, ["--weights=lite_wheel", "--output=gs://mine/a.png"]),
        (predict, ["photo.jpg", "--weights=lite_wheel", "--output=gs://mine/a.png"]),
        (sweep, ["--config=c.py", "--grid", "a=1,2", "--workdir=gs://mine/a.png"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_written_to_a_disk_goes_to_no_bucket(
    script: types.ModuleType, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        command_line.run(script.main, words)
    said = "gs://mine/a.png is in a bucket: expected a path on this machine"
    assert capsys.readouterr().err.rstrip().endswith(said)


@pytest.mark.parametrize("function", [check_file, check_folder, make_folder])
@pytest.mark.usefixtures("bucket")
def test_a_bucket_that_is_not_there_is_named(function: Callable[[epath.Path], None]) -> None:
    with pytest.raises(UserError, match="there is no bucket gs://typo, check its name"):
        function(epath.Path("gs://typo/a/b"))


def test_other_errors_are_not_taken_for_a_bucket_s() -> None:
    photo = tf.errors.InvalidArgumentError(None, None, "Unknown image file format")
    for error in (KeyError("gs://mine/a"), OSError(2, "none", "gs://mine/a"), photo):
        assert unreachable(error) is None


def test_cache_is_the_user_s_unless_chosen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.delenv("EFFICIENTNET_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "efficientnet"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_directory().parts[-2:] == (".cache", "efficientnet")


def test_the_cache_is_no_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EFFICIENTNET_CACHE", "gs://bucket/cache")
    with pytest.raises(UserError, match="EFFICIENTNET_CACHE=gs://bucket/cache is in a bucket"):
        cache_directory()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("two\nlines\r\t\x1b[1m", r"two\nlines\r\t\x1b[1m"),
        ("turned \u202eback", r"turned \u202eback"),
        ("caf\udce9", r"caf\udce9"),
        ("line\u2028end", r"line\u2028end"),
        ("玫瑰 שושנה 👩\u200d👧 a\u3000b C:\\new $ % _", None),
    ],
)
def test_names_are_shown_in_one_line(name: str, shown: str | None) -> None:
    assert printable(name) == (name if shown is None else shown)


def test_a_name_of_any_length_is_written(tmp_path: pathlib.Path) -> None:
    path = tmp_path / ("x" * 255)
    write_whole(epath.Path(path), b"whole")
    assert path.read_bytes() == b"whole"


@pytest.mark.parametrize("error", [UserError, OSError])
def test_an_error_is_one_line_whatever_it_names(
    error: type[Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    def main(_: object) -> None:
        raise error("no file 'a\nb\udcff'")

    assert command_line.run(main, []) == 1
    assert capsys.readouterr().err == "error: no file 'a\\nb\\udcff'\n"

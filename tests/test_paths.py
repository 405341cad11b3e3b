"""Files that are written whole."""

import pathlib

import pytest
from etils import epath

from efficientnet.paths import write_whole


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

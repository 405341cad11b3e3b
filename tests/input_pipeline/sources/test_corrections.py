"""Labels that a table corrects."""

import logging

import pytest
from etils import epath

from efficientnet.errors import UserError
from input_pipeline.sources.corrections import corrected
from input_pipeline.sources.split import Source, from_encoded


def source() -> Source:
    def split(*names: str) -> object:
        return from_encoded([name.encode() for name in names], names, [0] * len(names))

    splits = {"train": split("a.jpg", "b, c.jpg", "d\n.jpg"), "test": split("e.jpg")}
    return Source("made", ("cat", "dog", "00"), splits)


def with_table(tmp_path: epath.Path, text: str, encoding: str = "utf-8") -> Source:
    path = epath.Path(tmp_path) / "labels.csv"
    path.write_bytes(text.encode(encoding))
    return corrected(source(), path)


@pytest.mark.parametrize(
    "text",
    [
        'name,label\na.jpg,dog\n"b, c.jpg",00\n"d\n.jpg",\ne.jpg,cat\n',
        '\ufeffname;label\r\na.jpg;dog\r\nb, c.jpg;00\r\n"d\n.jpg";\r\n',
        'label\tscore\tname\r\ndog\t1\ta.jpg\r\n00\t1\tb, c.jpg\r\n\t1\t"d\n.jpg"\r\n',
    ],
    ids=["commas", "semicolons", "tabs"],
)
def test_labels_change_and_photos_without_one_are_left_out(
    tmp_path: epath.Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    caplog.set_level(logging.INFO)
    found = with_table(tmp_path, text)
    train, test = found.splits["train"], found.splits["test"]
    assert list(train.names) == ["a.jpg", "b, c.jpg"]
    assert list(train.labels) == [1, 2]
    assert train.read(1) == b"b, c.jpg"
    assert list(test.labels) == [0]
    assert "labels corrected: 2, photos left out: 1" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,label\nz.jpg,dog\n", r"names 1 photos that .* don't have, the first is 'z.jpg'"),
        ("name,label\na.jpg,Dog\n", r"line 2, has label 'Dog', which is none of the 3 classes"),
        ("name,label\na.jpg,0\n", r"line 2, has label '0', which is none of the 3 classes"),
        ("name,label\na.jpg,dog\na.jpg,cat\n", r"line 3, names 'a.jpg' again"),
        ("name,label\na.jpg\n", r"line 2, has no name or no label"),
        ("name,label\n,cat\n", r"line 2, has no name or no label"),
        ("path,label\na.jpg,cat\n", r"begins with 'path,label': expected columns name and label"),
        ("", r"begins with '': expected columns"),
    ],
)
def test_a_table_of_something_else_is_refused(
    tmp_path: epath.Path, text: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        with_table(tmp_path, text)


def test_a_table_that_is_not_there_or_no_text_is_refused(tmp_path: epath.Path) -> None:
    with pytest.raises(UserError, match="there is no such file"):
        corrected(source(), epath.Path(tmp_path) / "absent.csv")
    with pytest.raises(UserError, match="can't be read, expected CSV in UTF-8"):
        with_table(tmp_path, "name,label\nä.jpg,cat\n", "latin-1")
    with pytest.raises(UserError, match="can't be read, expected CSV"):
        corrected(source(), epath.Path(tmp_path))

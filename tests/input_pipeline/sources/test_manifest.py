"""A table of photos, and what people make of one."""

import json

import pytest
from named_files import contents, write

import input_pipeline
from efficientnet.errors import UserError


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_manifest(tmp_path, kind):
    rows = [
        {"path": "x/1.jpg", "label": "tulip", "split": "train"},
        {"path": "x/a, b.jpg", "label": "daisy", "split": "train"},
        {"path": "x/3.jpg", "label": "tulip", "split": "val"},
        {"path": "x/4.jpg", "label": "daisy", "split": "test"},
    ]
    write(tmp_path, *(row["path"] for row in rows))
    if kind == "csv":
        lines = ["path,label,split", *(f'"{r["path"]}",{r["label"]},{r["split"]}' for r in rows)]
    else:
        lines = [json.dumps(row) for row in rows]
    (tmp_path / f"manifest.{kind}").write_text("\n".join(lines) + "\n")
    source = input_pipeline.load_source("manifest", str(tmp_path))
    assert source.class_names == ("daisy", "tulip")
    assert contents(source.splits["train"]) == {"x/1.jpg": 1, "x/a, b.jpg": 0}
    assert contents(source.splits["validation"]) == {"x/3.jpg": 1}
    (tmp_path / "class_names.txt").write_text("tulip\nrose\ndaisy\n")
    source = input_pipeline.load_source("manifest", str(tmp_path / f"manifest.{kind}"))
    assert source.class_names == ("tulip", "rose", "daisy")
    assert contents(source.splits["test"]) == {"x/4.jpg": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\n", "lists no photo"),
        ("path,label\n1.jpg,\n", "line 2, has no path or no label"),
        ("path,label\n\n\n1.jpg,a\n\n1.jpg,\n", "line 6, has no path or no label"),
        ('path,label\n1.jpg,"a\n1.jpg,b\n', "line 3, has a line break"),
        (f"path,label\n1.jpg,{'a' * 200_000}\n", "line 2, is not CSV: field larger"),
        ("file,kind\n1.jpg,a\n", r"begins with the columns 'file', 'kind': expected path, label"),
        ("path;label\n1.jpg;a\n", r"begins with the columns 'path;label': .*separated by commas"),
        ("path\tlabel\n1.jpg\ta\n", r"begins with the columns 'path\\tlabel'"),
        ("path,label,Label\n1.jpg,a,b\n", r"begins with the columns 'path', 'label', 'Label'"),
        ("path,label\n1.jpg,NaN\n", "line 2, has label 'NaN': expected one name or whole number"),
        ("path,label\n1.jpg,hot, dog\n", "line 2, has more cells than the header"),
        ("path,label\n1.jpg,hot dog\n1.jpg,hot  dog\n", "'hot  dog' and 'hot dog', which look the"),
        (
            "path,label\n1.jpg,\u00e9\n1.jpg,e\u0301\n",
            r"'e\\u0301' and '\\xe9', which look the same",
        ),
        ("path,label,split\n1.jpg,a,holdout\n", "names split 'holdout'"),
        ("path,label,split\n1.jpg,a,train\n1.jpg,a,\n", "a split to some photos only"),
        (
            "path,label,split\n1.jpg,a,train\n1.jpg,b,my_train\n",
            r"names of one split \(my_train, tr",
        ),
        ("path,label,split\n1.jpg,a,test\n", "no split to train on, only test"),
        ("path,label\n2.jpg,a\n", r"1 of 1 photos are missing .* 2\.jpg"),
    ],
)
def test_manifest_names_what_is_wrong(tmp_path, text, message):
    write(tmp_path, "1.jpg")
    (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        input_pipeline.load_source("manifest", str(tmp_path))


@pytest.mark.parametrize(
    "text",
    [
        "Path, Label , SPLIT\n1.jpg, 1, Train\n2.jpg, 0, Test\n",
        'label,"path",split,notes\n1, "1.jpg" ,train,"two\nlines"\n\n0,2.jpg,test,\n',
    ],
)
def test_manifest_takes_spaces_capitals_and_more_columns(tmp_path, text):
    write(tmp_path, "1.jpg", "2.jpg")
    (tmp_path / "manifest.csv").write_text(text)
    source = input_pipeline.load_source("manifest", str(tmp_path))
    assert contents(source.splits["train"]) == {"1.jpg": 1}
    assert contents(source.splits["test"]) == {"2.jpg": 0}


def test_json_lines_are_numbered_as_in_an_editor(tmp_path):
    write(tmp_path, "1.jpg")
    good = '{"Path": "1.jpg", "label": "a", "note": "\u2028"}\n\n'
    for bad, message in (
        ("{", "is not JSON"),
        ("[1]", "is not a JSON object"),
        ("{}", "has no path"),
    ):
        (tmp_path / "manifest.jsonl").write_text(good + bad, "utf-8")
        with pytest.raises(UserError, match=f"line 3, {message}"):
            input_pipeline.load_source("manifest", str(tmp_path))


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["1", "2"], ("1", "2")),
        (["11", "0", "2"], ("0", "2", "11")),
        (["01", "00", "10"], ("00", "01", "10")),
        (["1", "01", "2"], ("01", "1", "2")),
        (["042", "007", "100"], ("007", "042", "100")),
        (["2.0", "10.0", "0.5"], ("0.5", "2.0", "10.0")),
        (["-1", "1"], ("-1", "1")),
        (["--1", "0"], ("--1", "0")),
        (["9" * 5000, "4006381333931"], ("4006381333931", "9" * 5000)),
    ],
)
def test_classes_are_called_what_stands_in_the_data(tmp_path, labels, names):
    write(tmp_path, "1.jpg")
    rows = "".join(f"1.jpg,{label}\n" for label in labels)
    (tmp_path / "manifest.csv").write_text(f"path,label\n{rows}")
    assert input_pipeline.load_source("manifest", str(tmp_path)).class_names == names


def test_paths_may_be_written_as_on_windows(tmp_path):
    write(tmp_path, "x/1.jpg", "y/2.jpg", "3.jpg")
    rows = "x\\1.jpg,a,train\ny\\2.jpg,b,train\n3.jpg,a,test\n"
    (tmp_path / "manifest.csv").write_text(f"path,label,split\n{rows}")
    splits = input_pipeline.load_source("manifest", str(tmp_path)).splits
    assert contents(splits["train"]) == {"x/1.jpg": 0, "y/2.jpg": 1}
    (tmp_path / "manifest.csv").write_text("path,label\nx\\..\\..\\1.jpg,a\n3.jpg,b\n")
    with pytest.raises(UserError, match="expected a path below that folder"):
        input_pipeline.load_source("manifest", str(tmp_path))


def test_class_names_make_numbers_names(tmp_path):
    write(tmp_path, "1.jpg", "2.jpg")
    (tmp_path / "manifest.csv").write_text("path,label,split\n1.jpg,303,train\n2.jpg,101,test\n")
    (tmp_path / "class_names.txt").write_text("101\n202\n303\n")
    splits = input_pipeline.load_source("manifest", str(tmp_path)).splits
    assert (list(splits["train"].labels), list(splits["test"].labels)) == ([2], [0])


def test_numbers_are_places_among_class_names(tmp_path):
    write(tmp_path, "1.jpg", "2.jpg")
    (tmp_path / "class_names.txt").write_text("cat\ndog\nowl\n")
    (tmp_path / "manifest.csv").write_text("path,label,split\n1.jpg,2,train\n2.jpg,0,test\n")
    splits = input_pipeline.load_source("manifest", str(tmp_path)).splits
    assert (list(splits["train"].labels), list(splits["test"].labels)) == ([2], [0])
    for label in ("02", "1", "2.0"):  # as a number and as a name at once, or no place
        names = "cat" if label == "1" else "0"
        (tmp_path / "manifest.csv").write_text(f"path,label\n1.jpg,{label}\n2.jpg,{names}\n")
        with pytest.raises(UserError, match=f"line 2, has label '{label}', which is none of the 3"):
            input_pipeline.load_source("manifest", str(tmp_path))


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([2.0, 10.0, 2.0], ("2", "10")),
        ([1, "1", 2], ("1", "2")),
        ([True, False], ("False", "True")),
    ],
)
def test_labels_of_json_are_named_by_their_digits(tmp_path, labels, names):
    write(tmp_path, "1.jpg")
    rows = [json.dumps({"path": "1.jpg", "label": label}) for label in labels]
    (tmp_path / "manifest.jsonl").write_text("\n".join(rows))
    assert input_pipeline.load_source("manifest", str(tmp_path)).class_names == names


@pytest.mark.parametrize("label", ["0.5", "NaN", '["a", "b"]', "{}", '"nan"', "Infinity"])
def test_what_is_no_label_in_json_is_refused_with_its_line(tmp_path, label):
    write(tmp_path, "1.jpg")
    (tmp_path / "manifest.jsonl").write_text(f'{{"path": "1.jpg", "label": {label}}}')
    with pytest.raises(UserError, match=r"line 1, has label .*: expected one name or whole number"):
        input_pipeline.load_source("manifest", str(tmp_path))


def test_similar_names_are_two_classes_and_said(tmp_path, caplog):
    write(tmp_path, "1.jpg")
    (tmp_path / "manifest.csv").write_text("path,label\n1.jpg,Cat\n1.jpg,cat\n1.jpg,dog\n")
    assert len(input_pipeline.load_source("manifest", str(tmp_path)).class_names) == 3
    assert "similar names of different classes: 'Cat' and 'cat'" in caplog.text


@pytest.mark.parametrize("file", ["manifest.csv", "manifest.jsonl", "class_names.txt"])
def test_tables_in_other_encodings_are_refused(tmp_path, file):
    if file == "class_names.txt":
        (tmp_path / "manifest.csv").write_text("path,label\n1.jpg,0\n")
    (tmp_path / file).write_bytes("Löwe\n".encode("latin-1"))
    with pytest.raises(UserError, match=f"{file} is not readable, expected text in UTF-8"):
        input_pipeline.load_source("manifest", str(tmp_path))


@pytest.mark.parametrize("column", ["path", "label"])
def test_json_names_that_are_not_unicode_are_refused(tmp_path, column):
    row = {"path": "1.jpg", "label": "a", column: "caf\udce9"}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(row))
    with pytest.raises(UserError, match=r"the name 'caf\\udce9' is not in UTF-8: rename it"):
        input_pipeline.load_source("manifest", str(tmp_path))


def test_a_class_named_twice_is_refused(tmp_path):
    (tmp_path / "manifest.csv").write_text("path,label\n1.jpg,a\n")
    (tmp_path / "class_names.txt").write_text("a\nb\na\n")
    with pytest.raises(UserError, match=r"class_names.txt has the class 'a' twice"):
        input_pipeline.load_source("manifest", str(tmp_path))


def test_manifest_labels_beyond_the_class_names_are_refused(tmp_path):
    write(tmp_path, "1.jpg")
    (tmp_path / "class_names.txt").write_text("a\nb\n")
    for label in ("2", "c"):
        (tmp_path / "manifest.csv").write_text(f"path,label\n1.jpg,{label}\n")
        with pytest.raises(UserError, match=f"label '{label}', which is none of the 2 classes"):
            input_pipeline.load_source("manifest", str(tmp_path))


def test_two_tables_or_none_are_refused(tmp_path):
    with pytest.raises(UserError, match="0 tables in"):
        input_pipeline.load_source("manifest", str(tmp_path))
    write(tmp_path, "manifest.csv", "manifest.jsonl")
    with pytest.raises(UserError, match="2 tables in"):
        input_pipeline.load_source("manifest", str(tmp_path))

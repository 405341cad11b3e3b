"""Writing predictions and features, for people and for other programs."""

import contextlib
import csv
import io
import json
import pathlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO

import numpy as np

from efficientnet.errors import UserError
from efficientnet.paths import check_file, printable, written_whole

Prediction = dict[str, Any]  # 'image', and 'predictions': rows of 'index', 'class', 'probability'
ERRORS = "surrogateescape"  # bytes of a file's name that are no text stay those bytes


def write_table(file: TextIO, predictions: Iterable[Prediction]) -> None:
    """Writes for people: each photo's name, followed by a line for each class."""
    for prediction in predictions:
        print(printable(prediction["image"]), file=file)
        for row in prediction["predictions"]:
            print(f"  {row['probability']:6.1%}  {printable(row['class'])}", file=file)


def write_json_lines(file: TextIO, predictions: Iterable[Prediction]) -> None:
    """Writes one line with a JSON object for each photo."""
    for prediction in predictions:
        print(json.dumps(prediction), file=file)


def write_csv(file: TextIO, predictions: Iterable[Prediction]) -> None:
    """Writes a header, then one row for each photo and class."""

    def write(*cells: object) -> None:
        # Before Python 3.13, a carriage return alone was not quoted.
        returns = any("\r" in str(cell) for cell in cells)
        csv.writer(
            file,
            lineterminator="\n",
            quoting=csv.QUOTE_ALL if returns else csv.QUOTE_MINIMAL,
        ).writerow(cells)

    write("image", "rank", "index", "class", "probability")
    for prediction in predictions:
        for rank, row in enumerate(prediction["predictions"], start=1):
            write(prediction["image"], rank, *row.values())


FORMATS = {"table": write_table, "jsonl": write_json_lines, "csv": write_csv}


@contextlib.contextmanager
def opened(path: pathlib.Path | None) -> Iterator[TextIO]:
    """Opens the output: stdout, a pipe, or a file that is replaced only when all is written.

    Args:
      path: None for stdout.
    """
    if path is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors=ERRORS)
        yield sys.stdout
        return
    is_pipe = path.exists() and not path.is_file()
    # `resolve` replaces the file that a link points to, not the link.
    target = contextlib.nullcontext(path) if is_pipe else written_whole(path.resolve())
    with target as part, part.open("w", encoding="utf-8", errors=ERRORS, newline="") as file:
        yield file


def check_features_path(path: pathlib.Path) -> None:
    """Raises a `UserError` if `write_features` can't write there, before any photo is read."""
    check_file(path, (".npz", ".parquet"))
    if path.suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise UserError("parquet files need pyarrow: pip install '.[parquet]'") from None


def write_features(path: pathlib.Path, names: Sequence[str], features: np.ndarray) -> None:
    """Writes float32 [n, features] and the photos' names as columns `features` and `image`."""
    with written_whole(path.resolve()) as part, part.open("wb") as file:
        if path.suffix == ".npz":
            np.savez(file, image=np.asarray(names, np.str_), features=features)
            return
        import pyarrow.parquet

        text = [name.encode(errors="backslashreplace").decode() for name in names]
        values = pyarrow.array(features.reshape(-1))
        columns = {
            "image": pyarrow.array(text),
            "features": pyarrow.FixedSizeListArray.from_arrays(values, features.shape[1]),
        }
        pyarrow.parquet.write_table(pyarrow.table(columns), file)

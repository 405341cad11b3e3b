"""Writing predictions and features, for people and for other programs."""

import abc
import contextlib
import csv
import functools
import io
import json
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

import numpy as np

from efficientnet.errors import UserError
from efficientnet.paths import check_file, printable, written_whole

Prediction = dict[str, Any]  # 'image', and 'predictions': rows of 'index', 'class', 'probability'
ERRORS = "surrogateescape"  # bytes of a file's name that are no text stay those bytes


class Writer(abc.ABC):
    """Writes predictions to an open file, one after another."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    @abc.abstractmethod
    def write(self, prediction: Prediction) -> None:
        """Writes the prediction for one photo."""


class Table(Writer):
    """For people: the photo's name, followed by a line for each class."""

    def write(self, prediction: Prediction) -> None:
        """See `Writer`."""
        print(printable(prediction["image"]), file=self._file)
        for row in prediction["predictions"]:
            print(f"  {row['probability']:6.1%}  {printable(row['class'])}", file=self._file)


class JsonLines(Writer):
    """One line with a JSON object for each photo."""

    def write(self, prediction: Prediction) -> None:
        """See `Writer`."""
        print(json.dumps(prediction), file=self._file)


class Csv(Writer):
    """A header, then one row for each photo and class."""

    def __init__(self, file: TextIO) -> None:
        super().__init__(file)
        self._writerow("image", "rank", "index", "class", "probability")

    def write(self, prediction: Prediction) -> None:
        """See `Writer`."""
        for rank, row in enumerate(prediction["predictions"], start=1):
            self._writerow(prediction["image"], rank, *row.values())

    def _writerow(self, *cells: object) -> None:
        writer = functools.partial(csv.writer, self._file, lineterminator="\n")
        # Before Python 3.13, a carriage return alone was not quoted.
        returns = any("\r" in str(cell) for cell in cells)
        (writer(quoting=csv.QUOTE_ALL) if returns else writer()).writerow(cells)


FORMATS: dict[str, type[Writer]] = {"table": Table, "jsonl": JsonLines, "csv": Csv}


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

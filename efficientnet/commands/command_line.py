"""What command lines share: arguments, a log, errors in one sentence, results in a line of JSON."""

import argparse
import io
import json
import logging
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

from efficientnet.errors import UserError
from efficientnet.paths import is_in_bucket, printable, reaching_buckets, user_path


def parser(doc: str | None, **options: Any) -> argparse.ArgumentParser:
    """Returns a parser with `--json`, whose help begins with a script's docstring.

    Args:
      doc: the docstring.
      **options: further arguments of `argparse.ArgumentParser`.
    """
    made = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, **options
    )
    made.add_argument("--json", action="store_true", help="end with one line of JSON")
    return made


def check_positive(args: argparse.Namespace, *names: str) -> None:
    """Checks that the numbers of these arguments, where they are given, are at least 1."""
    for name in names:
        value = getattr(args, name)
        if value is not None and value < 1:
            raise UserError(f"--{name}={value}: expected at least 1")


def show_log(*packages: str) -> None:
    """Shows warnings in the terminal, and of these packages also what they are doing."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING, force=True)
    for package in packages:
        logging.getLogger(package).setLevel(logging.INFO)


def run(main: Callable[[Sequence[str]], None], arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit status.

    Args:
      main: takes the arguments, without the name of the program.
      arguments: by default those of the process.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # names may have bytes that are no text
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with reaching_buckets():
            main(sys.argv[1:] if arguments is None else arguments)
    except UserError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {printable(_sentence(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 130
    return 0


def _sentence(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    if error.filename is None:
        return reason
    return f"{error.filename} can't be read or written, check the path ({reason})"


def print_json(result: Any) -> None:
    """Prints a result as one line, for `--json`."""
    print(json.dumps(result), flush=True)


def local_path(text: str) -> pathlib.Path:
    """The type of an argument that names a file or folder on this machine."""
    path = user_path(text)
    if is_in_bucket(path):
        raise argparse.ArgumentTypeError(f"{text} is in a bucket: expected a path on this machine")
    return pathlib.Path(path)


def refuse_broken(skipped: Sequence[str], total: int) -> None:
    """Raises a `UserError` that names the unreadable photos; called when all others are done."""
    if skipped:
        raise UserError(
            f"{len(skipped)} of {total} files can't be read as photos: {', '.join(skipped)}"
        )

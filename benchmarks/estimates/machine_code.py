"""Counts the cycles of a compiled program's machine code, which libtpu writes down on demand.

A TPU runs one bundle of instructions per cycle, in the order that the compiler has fixed, so the
bundles of a kernel times the trips of the loop around them are its cycles, but for what it waits
for memory. That says more than the compiler's `estimated_cycles`, by which it chooses among forms
before there is any code. The texts are libtpu's own and documented nowhere: read here are those of
the version that pyproject.toml pins.
"""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator

from etils import epath

from efficientnet.errors import UserError

_BUNDLE = re.compile(r"\s*(?:0x[0-9a-f]+|0)\s+(?P<mark>[A-Z]{2})?\s*:")
_TRIPS = re.compile(r"totalorder %\w+, (\d+) /\* loop exit test")
_NAME = re.compile(r"\d+-(.+)-\d+-final_bundles\.txt")


@contextlib.contextmanager
def written_down() -> Iterator[epath.Path]:
    """Has libtpu, which must not have been loaded yet, write machine code to a folder."""
    with tempfile.TemporaryDirectory(prefix="machine-code-") as folder:
        flags = (
            f"--xla_jf_dump_to={folder}",
            "--xla_jf_dump_llo_text=true",
            "--xla_jf_dump_llo_pass_label_regex=final_bundles",
        )
        os.environ["LIBTPU_INIT_ARGS"] = " ".join([os.environ.get("LIBTPU_INIT_ARGS", ""), *flags])
        yield epath.Path(folder)


def take(folder: epath.Path) -> dict[str, int]:
    """Returns the cycles of each kernel compiled since the last call, and removes their texts.

    Kernels with the same code are written down once, under the name of one of them.

    Raises:
      UserError: there are none.
    """
    found = {}
    for path in folder.iterdir():
        if name := _NAME.fullmatch(path.name):
            found[name[1]] = cycles(path.read_text())
        path.unlink()
    if not found:
        raise UserError(
            "--profile: libtpu wrote no machine code; the version that "
            "`pip install -e '.[tpu]'` installs does"
        )
    return found


def cycles(text: str) -> int:
    """Counts the bundles of a kernel, each as often as the loops around it run.

    A loop whose trips only the data tell counts once; a branch counts as taken.
    """
    counted = [0]  # outside of loops, in the outermost, ...
    for line in text.splitlines():
        if bundle := _BUNDLE.match(line):
            if bundle["mark"] == "LB":
                counted.append(0)
            counted[-1] += 1
        if len(counted) > 1 and (trips := _TRIPS.search(line)):
            body = counted.pop()
            counted[-1] += body * int(trips[1])
    return sum(counted)

"""The commands: thin command lines over the packages.

In a checkout `scripts/NAME.py`, and where the package is installed `efficientnet-NAME`, runs the
module NAME.
"""

import pathlib
import runpy
import sys


def run() -> None:
    """Runs the module that the program is named after: scripts/predict.py, efficientnet-predict."""
    program = pathlib.PurePath(sys.argv[0]).stem
    name = program.removeprefix("efficientnet-").replace("-", "_")
    runpy.run_module(f"{__name__}.{name}", run_name="__main__")

r"""Compiles the training and evaluation steps of a recipe for a TPU slice, which need not exist.

    python scripts/compile_tpu.py --config=configs/cars_b0.py --topology=v5e:4x4 --classes=196 \
        --photos=7330 --config.dtype=bfloat16

It needs libtpu (pip install -e '.[tpu]') and a few minutes per stage. Everything it prints is an
estimate of the compiler, not a measurement.
"""

import os

os.environ["JAX_PLATFORMS"] = "cpu"  # before JAX is imported: libtpu only compiles

import sys

from benchmarks.estimates.command import main
from efficientnet.commands import command_line

if __name__ == "__main__":
    sys.exit(command_line.run(main))

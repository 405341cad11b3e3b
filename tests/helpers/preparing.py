"""Photos for scripts/prepare_data.py, and runs of it."""

import io

import numpy as np
from PIL import Image

from efficientnet.commands import command_line, prepare_data


def encoded(seed, kind="JPEG", size=(40, 30)):
    colors = np.random.default_rng(seed).integers(0, 256, (4, 6, 3)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(colors).resize(size, Image.Resampling.BICUBIC).save(stream, kind)
    return stream.getvalue()


def run(capsys, *arguments):
    status = command_line.run(prepare_data.main, [str(argument) for argument in arguments])
    return status, capsys.readouterr()

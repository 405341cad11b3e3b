"""A photo, and what augmentations make of it."""

import io

import numpy as np
from PIL import Image

from input_pipeline import order
from input_pipeline.augment.augmentation import Augmentation

COLORS = np.random.default_rng(1).integers(0, 256, (9, 12, 3)).astype(np.uint8)
PHOTO = Image.fromarray(COLORS).resize((120, 90), Image.Resampling.BICUBIC)


def square(matrix):
    return np.array([*matrix, (0, 0, 1)])


def augmented(text, resolution, photo, seed=(0, 0)):
    augmentation = Augmentation(text, resolution)
    draws = order.uniform(seed[0], np.array(seed[1:]), augmentation.draws)
    return augmentation(photo, draws[0].tolist(), seed)


def evaluate(text, resolution=32, image=PHOTO):
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return augmented(text, resolution, stream.getvalue())

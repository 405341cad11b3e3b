"""What augmentations do to photos, as sections of a `photo_sheet`."""

import dataclasses
import textwrap
from collections.abc import Iterator, Sequence

import numpy as np

import input_pipeline
from efficientnet.reporting.fonts import LEGEND_LETTERS, drawable
from efficientnet.reporting.photo_sheet import LETTERS, Photo, Section
from input_pipeline import decode
from input_pipeline.augment import spec

DRAWN = 5  # versions for each that is shown, as some operations do nothing most of the time


def sections(
    loader: input_pipeline.Loader, class_names: Sequence[str], columns: int, count: int
) -> Iterator[Section]:
    """Yields photos as they are, each operation of the augmentation by itself, and all together.

    Args:
      loader: of the photos, of which the first is augmented.
      class_names: of the labels; () if the photos have none and are not to be shown.
      columns: versions of each operation, as far as they differ.
      count: versions that all operations make together, as far as they differ.

    Raises:
      UserError: a photo can't be read.
    """
    if class_names:
        yield _labeled(loader, class_names)
    one = dataclasses.replace(loader, split=loader.split.take(np.array([0])), batch_size=1)
    yield _as_it_is(one)
    steps = spec.steps(loader.augment)
    if len(steps) > 1:
        yield from (Section(step, _alone(one, step, columns)) for step in steps)
    title = f"in training: {' | '.join(steps) or 'resize'}"
    yield Section(title, _versions(one, count))


def _labeled(loader: input_pipeline.Loader, class_names: Sequence[str]) -> Section:
    names = drawable(class_names, lines=2)
    shown = [
        Photo(pixels, names[label])
        for pixels, label in zip(_evaluated(loader), loader.split.labels, strict=True)
    ]
    return Section(f"photos to train on, as in evaluation: {loader.preprocess}", shown)


def _as_it_is(loader: input_pipeline.Loader) -> Section:
    """Shows a photo in its own shape, and as the network sees it in evaluation."""
    (evaluated,) = _evaluated(loader)
    content = loader.split.read(0)
    pixels = content if isinstance(content, np.ndarray) else decode.decode(content, loader.channels)
    height, width = pixels.shape[:2]
    (name,) = drawable(loader.split.names, LEGEND_LETTERS)
    return Section(
        name,
        [
            Photo(pixels, f"{width} x {height} pixels"),
            Photo(evaluated, textwrap.fill(f"in evaluation: {loader.preprocess}", LETTERS)),
        ],
    )


def _alone(loader: input_pipeline.Loader, step: str, count: int) -> list[Photo]:
    """Returns versions of a photo by one operation.

    What neither crops nor resizes starts from the photo as the network sees it in evaluation.
    """
    (operation,) = input_pipeline.parse(step)
    photo = loader.split
    if not getattr(operation, "resizes", False):
        (evaluated,) = _evaluated(loader)
        photo = dataclasses.replace(photo, read=lambda _: evaluated, read_ends=None)
    return _versions(dataclasses.replace(loader, split=photo, augment=step), count)


def _versions(loader: input_pipeline.Loader, count: int) -> list[Photo]:
    """Returns so many augmented versions of a photo, or fewer if no more of those drawn differ."""
    different: dict[bytes, Photo] = {}
    for batch in loader.train(0, DRAWN * count):
        (pixels,) = batch["image"]
        different[pixels.tobytes()] = Photo(pixels)
        if len(different) == count:
            break
    return list(different.values())


def _evaluated(loader: input_pipeline.Loader) -> np.ndarray:
    (batch,) = dataclasses.replace(loader, batch_size=len(loader.split)).evaluate(loader.split)
    return batch["image"]

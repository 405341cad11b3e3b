"""What can be measured of each photo of a data set."""

import dataclasses
import hashlib
from collections.abc import Iterator

import cv2
import numpy as np

from input_pipeline import decode, photo_formats
from input_pipeline.audit.survey import survey
from input_pipeline.augment.sampling import Matrix
from input_pipeline.sources.split import Source

# Pixels of the shorter side at which photos are judged, and per side of their thumbnails.
JUDGED, THUMBNAIL = 256, 64
# Smaller photos are not called blurred: there is too little of them to see it.
LEAST_JUDGED = 64
# Limits, chosen on photos blurred and darkened on purpose; see docs/data.md.
NOISE = 0.4  # gray levels that a file's format leaves
BLURRED, DARK, EMPTY = 0.135, 32.0, 6.0


@dataclasses.dataclass(frozen=True)
class Measured:
    """What is known of a readable photo.

    Attributes:
      format: of the content, such as 'JPEG', whatever the file's name says.
      height: pixels, as a viewer shows the photo.
      width: the same.
      digest: of the encoded photo.
      thumbnail: uint8 [THUMBNAIL, THUMBNAIL], gray and squeezed to a square.
      sharpness: share of the contrast that is in the finest details; blurring lowers it.
      brightness: of the brightest twentieth of the photo, at least, from 0 to 255.
      contrast: standard deviation of the gray values, from 0 to 127.5.
    """

    format: str
    height: int
    width: int
    digest: bytes
    thumbnail: np.ndarray
    sharpness: float
    brightness: float
    contrast: float

    @property
    def flaw(self) -> str:
        """Why people could hardly tell the class of the photo; '' if they could."""
        if self.brightness < DARK:
            return "dark"
        if self.contrast < EMPTY:
            return "nearly empty"
        small = min(self.height, self.width) < LEAST_JUDGED
        return "blurred" if self.sharpness < BLURRED and not small else ""


@dataclasses.dataclass(frozen=True)
class Photo:
    """A photo of a split: where it is, and what was measured or why it can't be read."""

    split: str
    index: int
    name: str
    label: int
    measured: Measured | None
    error: str

    @property
    def key(self) -> tuple[str, int]:
        """Its split and index, which tell it from all others."""
        return self.split, self.index

    @property
    def place(self) -> tuple[str, int]:
        """Its split and label."""
        return self.split, self.label


def examine(source: Source) -> Iterator[Photo]:
    """Reads and decodes every photo of every split, in order."""
    for name, split in source.splits.items():
        for index, (measured, error) in enumerate(survey(split, measure)):
            label = int(split.labels[index])
            yield Photo(name, index, split.names[index], label, measured, error)


def measure(encoded: bytes) -> Measured:
    """Measures a photo.

    A large JPEG is decoded at a fraction of its size, for which all of the file is read too.

    Raises:
      OSError, tf.errors.OpError: it can't be decoded.
    """
    image, height, width = shrunk(encoded, 1, JUDGED)
    gray = image[..., 0]
    smooth = cv2.GaussianBlur(gray.astype(np.float32), (0, 0), 1)
    details = max(float(np.var(gray - smooth)) - NOISE**2, 0.0) ** 0.5
    shapes = np.std(smooth - cv2.GaussianBlur(smooth, (0, 0), 4))
    return Measured(
        format=found.name if (found := photo_formats.find(encoded)) else "unknown",
        height=height,
        width=width,
        digest=hashlib.sha256(encoded).digest(),
        thumbnail=cv2.resize(gray, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA),
        sharpness=float(details / max(shapes, 1e-6)),
        brightness=float(np.percentile(gray, 95)),
        contrast=float(np.std(gray)),
    )


def shrunk(encoded: bytes, channels: int, shorter: int) -> tuple[np.ndarray, int, int]:
    """Decodes a photo and shrinks it to a shorter side; a smaller one keeps its size.

    Returns:
      uint8 [height, width, channels], and the height and width before.
    """
    size = 0, 0

    def whole(height: int, width: int) -> Matrix:
        nonlocal size
        size = height, width
        return (width / shorter, 0.0, 0.0), (0.0, height / shorter, 0.0)

    image, _ = decode.decode_window(encoded, channels, whole, shorter, 0)
    scale = shorter / min(image.shape[:2])
    if scale < 1:
        down, across = (max(round(scale * side), 1) for side in image.shape[:2])
        image = cv2.resize(image, (across, down), interpolation=cv2.INTER_AREA)
    return image.reshape(*image.shape[:2], channels), *size

"""A specification put to work: photo and seed -> uint8 image of the target size."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from efficientnet.errors import UserError
from input_pipeline import decode
from input_pipeline.augment import sampling, spec
from input_pipeline.augment.color import ColorJitter, Photometric
from input_pipeline.augment.geometry import (
    Affine,
    Geometric,
    Pad,
    Resize,
    ResizeCenterCrop,
    compose,
)
from input_pipeline.order import Seed


class Augmentation:
    """Decodes and augments one photo.

    Runs of geometric operations become one warp each. The first run brings the photo to the target
    size; without an operation that does, it is resized at the run's end.

    Without chance in it a specification is followed exactly (whole decoding, antialiased
    resampling); with chance, as exactly as training needs: see `decode.decode_window`,
    `sampling.sample`.

    Attributes:
      resolution: height and width of the result, pixels.
      channels: 3, or 1 for gray.
      draws: how many uniform numbers it uses.
      random: whether two calls may differ.
      stages: runs of geometric operations, and photometric ones, in reading order.
    """

    def __init__(self, text: str, resolution: int, channels: int = 3) -> None:
        """Parses the specification.

        Args:
          text: operations in reading order, see `spec.parse`.
          resolution: height and width of the result, pixels.
          channels: 3, or 1 for gray.

        Raises:
          UserError: the specification is wrong, or its resizing comes too late, or resolution or
            channels are wrong.
        """
        if channels not in (1, 3):
            raise UserError(f"channels={channels!r}: images have 3 channels, or 1 for gray")
        if not isinstance(resolution, int) or resolution < 1:
            raise UserError(f"resolution={resolution!r} should be a positive number of pixels")
        self.resolution = resolution
        self.channels = channels
        operations = list(spec.parse(text))
        if not any(isinstance(o, Geometric) and o.resizes for o in operations):
            first_run = itertools.takewhile(lambda o: isinstance(o, Geometric), operations)
            operations.insert(len(list(first_run)), Resize())
        self.stages: list[Move | Photometric] = []
        for moves, run in itertools.groupby(operations, lambda o: isinstance(o, Geometric)):
            stages: list[Any] = list(run)
            self.stages += [Move(stages, resolution)] if moves else stages
        first = next(stage for stage in self.stages if isinstance(stage, Move))
        if not first.resizing:
            raise UserError(
                f"the augmentation {text!r} turns or mirrors, then changes colors, then crops or "
                "resizes: crop or resize before the colors"
            )
        self.draws = sum(stage.draws for stage in self.stages)
        self.random = self.draws > 0 or any(operation.noise for operation in operations)
        # Jitters used to be part of the warp before them: runs go on with the noise they had.
        self.streams = [1]
        for last, stage in itertools.pairwise(self.stages):
            jitter = isinstance(stage, ColorJitter) and not stage.hue
            joined = jitter and isinstance(last, Move) and not last.special
            self.streams.append(self.streams[-1] + (not joined))

    def __call__(self, photo: bytes | np.ndarray, draws: Sequence[float], seed: Seed) -> np.ndarray:
        """Augments one photo.

        Args:
          photo: encoded; or decoded, uint8 [height, width, channels].
          draws: `self.draws` uniform numbers, see `order.uniform`.
          seed: of the draws for every pixel, see `order.Seed`.

        Returns:
          uint8 [resolution, resolution, channels].

        Raises:
          OSError or tf.errors.InvalidArgumentError: the photo can't be decoded.
        """
        image = photo
        for stage, stream in zip(self.stages, self.streams, strict=True):
            own, draws = draws[: stage.draws], draws[stage.draws :]
            if isinstance(stage, Move):
                image = stage.apply(image, self.channels, own, exact=not self.draws)
            else:
                if isinstance(image, bytes):
                    image = decode.decode(image, self.channels)
                # Draws for every pixel come from a stream of the operation's own.
                image = stage.apply(image, own, (seed[0], seed[1] ^ stream << 48))
        assert isinstance(image, np.ndarray)
        return image


def without_chance(text: str, resolution: int, channels: int) -> Augmentation:
    """Returns the `Augmentation` of a specification for evaluation; a random one is a UserError."""
    augmentation = Augmentation(text, resolution, channels)
    if augmentation.random:
        raise UserError(f"evaluation must not be random, but {text!r} is: use 'resize'")
    return augmentation


class Move:
    """A run of geometric operations, done in one go."""

    def __init__(self, operations: list[Geometric], target: int) -> None:
        self.operations = operations
        self.target = target
        self.draws = sum(operation.draws for operation in operations)
        self.skews = any(operation.skews for operation in operations)
        self.resizing = [operation for operation in operations if operation.resizes]
        last = self.resizing[-1] if self.resizing else Resize()
        self.method = getattr(last, "method", "bilinear")
        self.antialias = getattr(last, "antialias", True)
        # What only the slow way can do.
        self.special = self.method != "bilinear" or not self.antialias
        if self.skews and self.method != "bilinear":
            raise UserError(
                f"method={self.method!r} does not go with turning, shearing or shifting: use "
                "bilinear"
            )
        self.pads = [operation for operation in operations if isinstance(operation, Pad)]
        self.cuts = not any(isinstance(operation, ResizeCenterCrop) for operation in operations)
        fills = {operation.fill for operation in operations if isinstance(operation, Affine)}
        if len(fills) > 1 or (self.pads and "reflect" in fills):
            raise UserError(
                "operations that move a photo in one go fill what is outside it in one way: give "
                "each of them fill='reflect', and none beside 'pad', which fills too"
            )
        self.fill: sampling.Fill | None = "reflect" if "reflect" in fills else None
        # Refuses what does not go with this target.
        compose(operations, (target, target), target, [0.0] * self.draws)

    def apply(
        self, image: bytes | np.ndarray, channels: int, draws: Sequence[float], exact: bool
    ) -> np.ndarray:
        """Encoded photo or [height, width, channels] -> [target, target, channels]."""

        def plan(height: int, width: int) -> sampling.Matrix:
            return compose(self.operations, (height, width), self.target, draws)

        fill = self.fill if self.skews else "edge"
        if self.pads:
            fill = self.pads[-1].filling(channels)
        if isinstance(image, bytes) and not exact:
            whole = fill in ("blur", "reflect")
            margin = decode.WHOLE if whole else int(self.skews or fill != "edge")
            image, matrix = decode.decode_window(image, channels, plan, self.target, margin)
        else:
            if isinstance(image, bytes):
                image = decode.decode(image, channels)
            matrix = plan(*image.shape[:2])
        if self.skews or not (exact or self.special):
            return sampling.sample(image, matrix, self.target, fill)
        return sampling.stretch(
            image,
            matrix,
            self.target,
            fill or "edge",
            method=self.method,
            antialias=self.antialias,
            cut=self.cuts,
        )

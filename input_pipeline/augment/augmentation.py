"""A specification put to work: photo and seed -> uint8 image of the target size."""

import itertools
from collections.abc import Sequence

import numpy as np

from efficientnet.errors import UserError
from input_pipeline import decode
from input_pipeline.augment import sampling, spec, warp
from input_pipeline.augment.color import ColorJitter, Photometric
from input_pipeline.augment.geometry import Geometric, Resize
from input_pipeline.augment.window import Matrix
from input_pipeline.order import Seed


class Augmentation:
    """Decodes and augments one photo.

    Runs of geometric operations become one warp each. The first run brings the photo to the target
    size; without an operation that does, it is resized at the run's end.

    Without chance in it a specification is followed exactly (whole decoding, antialiased
    resampling); with chance, as exactly as training needs: see `decode.decode_window`,
    `warp.reduce` and `sampler.sample`, which also takes a color jitter that follows a warp.

    Attributes:
      resolution: height and width of the result, pixels.
      channels: 3, or 1 for gray.
      draws: how many uniform numbers it uses; 0 if two calls never differ.
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
        operations: list[spec.Operation] = list(spec.parse(text))
        if not any(isinstance(o, Geometric) and o.resizes for o in operations):
            first_run = itertools.takewhile(lambda o: isinstance(o, Geometric), operations)
            operations.insert(len(list(first_run)), Resize())
        stages: list[Move | Photometric] = []
        for operation in operations:
            last = stages[-1] if stages else None
            if isinstance(last, Move) and last.takes(operation):
                stages[-1] = Move([*last.operations, operation], resolution)
            elif isinstance(operation, Photometric):
                stages.append(operation)
            else:
                stages.append(Move([operation], resolution))
        first = next(stage for stage in stages if isinstance(stage, Move))
        if not any(move.resizes for move in first.moves):
            raise UserError(
                f"the augmentation {text!r} turns or mirrors, then changes colors, then crops or "
                "resizes: crop or resize before the colors"
            )
        self.stages = stages
        self.draws = sum(stage.draws for stage in stages)

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
        exact = not self.draws
        image = photo
        for number, stage in enumerate(self.stages):
            own, draws = draws[: stage.draws], draws[stage.draws :]
            if isinstance(stage, Move):
                image = stage.apply(image, self.channels, own, exact)
            else:
                if isinstance(image, bytes):
                    image = decode.decode(image, self.channels)
                # Draws for every pixel come from a stream of the operation's own.
                stream = seed[0], seed[1] ^ (number + 1) << 48
                image = stage.apply(image, own, stream)
        assert isinstance(image, np.ndarray)
        return image


def without_chance(text: str, resolution: int, channels: int) -> Augmentation:
    """Returns the `Augmentation` of a specification for evaluation; a random one is a UserError."""
    augmentation = Augmentation(text, resolution, channels)
    if augmentation.draws:
        raise UserError(f"evaluation must not be random, but {text!r} is: use 'resize'")
    return augmentation


class Move:
    """A run of geometric operations, and perhaps a color jitter at its end."""

    def __init__(self, operations: list[spec.Operation], target: int) -> None:
        self.operations = operations
        self.moves = [o for o in operations if isinstance(o, Geometric)]
        self.jitter = operations[-1] if isinstance(operations[-1], ColorJitter) else None
        self.target = target
        self.draws = sum(operation.draws for operation in operations)
        self.skews = any(operation.skews for operation in self.moves)
        resizing = [o for o in self.moves if o.resizes]
        method = getattr(resizing[-1], "method", "bilinear") if resizing else "bilinear"
        if self.skews and method != "bilinear":
            raise UserError(
                f"method={method!r} does not go with turning, shearing or shifting: use bilinear"
            )
        self.method = method
        self.antialias = getattr(resizing[-1], "antialias", True) if resizing else True
        # What only the slow way can do.
        self.special = method != "bilinear" or not self.antialias

    def takes(self, operation: Geometric | Photometric) -> bool:
        """Whether the operation can be done in one go with these."""
        if isinstance(operation, Geometric):
            return self.jitter is None
        return isinstance(operation, ColorJitter) and not (operation.hue or self.special)

    def apply(
        self, image: bytes | np.ndarray, channels: int, draws: Sequence[float], exact: bool
    ) -> np.ndarray:
        """Encoded photo or [height, width, channels] -> [target, target, channels]."""

        def plan(height: int, width: int) -> Matrix:
            return warp.compose(self.moves, (height, width), self.target, draws)

        if isinstance(image, bytes) and not exact:
            margin = 1 if self.skews else 0
            image, matrix = decode.decode_window(image, channels, plan, self.target, margin)
        else:
            if isinstance(image, bytes):
                image = decode.decode(image, channels)
            matrix = plan(*image.shape[:2])
        if not self.skews and (exact or self.special):
            return warp.stretch(image, matrix, self.target, self.method, self.antialias)
        image, matrix = warp.reduce(image, matrix)
        # The jitter's own draws are the last.
        factors = self.jitter.factors(draws[-self.jitter.draws :]) if self.jitter else ()
        fill = 0 if self.skews else None
        return sampling.sample(image, matrix, self.target, fill, factors)

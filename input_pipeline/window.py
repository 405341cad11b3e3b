"""The pixels that a stretch of a photo covers, in one direction."""

import math

# For rounding errors of windows of whole pixels.
ROUNDING = 1e-2


def covered(low: float, high: float, size: int, margin: int = 0) -> tuple[int, int]:
    """The first pixel and the one after the last from `low` to `high`, at least one.

    Args:
      low: where the stretch begins, pixels from the edge; perhaps outside.
      high: where it ends.
      size: pixels there are.
      margin: pixels more at both ends, as far as there are any.
    """
    first = min(max(math.floor(low + ROUNDING) - margin, 0), size - 1)
    return first, min(max(math.ceil(high - ROUNDING) + margin, first + 1), size)

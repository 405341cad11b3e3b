"""The pixels that a stretch of a photo covers, in one direction."""

import math

# Of a matrix: (x, y, 1) of the target -> one coordinate of the photo.
Row = tuple[float, float, float]
# Both coordinates, x first.
Matrix = tuple[Row, Row]

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


def seen(row: Row, target: int, size: int, margin: int = 0) -> tuple[int, int]:
    """The same of what the whole target square shows of a photo, in one direction.

    Args:
      row: of the matrix from target points to photo points.
      target: side of the square.
      size: pixels there are.
      margin: see `covered`.
    """
    along, across, start = row
    low = start + target * (min(along, 0) + min(across, 0))
    high = start + target * (max(along, 0) + max(across, 0))
    return covered(low, high, size, margin)

"""Finding photos that show the same, though their bytes differ.

Photos that are encoded anew, resized, brightened, mirrored or cropped by a tenth look the same when
both are laid on top of each other. First, every photo is compared with parts of every other one at
16 x 16 pixels, which leaves a few candidates. Then each candidate is aligned with the photo
(Evangelidis & Psarakis 2008, "Parametric image alignment using enhanced correlation coefficient
maximization"), and both are compared in what is finer than shapes and coarser than noise: photos of
two cars of one model agree in their shapes, but not in that. Where even that is alike in dozens of
photos, as in those of solar cells, a copy must be far more alike than these.
"""

import functools
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np

# Parts of a photo, as fractions of its sides: all of it, and what a crop by a tenth may leave.
Part = tuple[float, float, float]  # left, top, size
PARTS: tuple[Part, ...] = (
    (0.0, 0.0, 1.0),
    *((x, y, 0.9) for x, y in itertools.product((0.0, 0.05, 0.1), repeat=2)),
)
COARSE = 16  # pixels per side of what is compared first
LEAST_COARSE = 0.85  # correlation of candidates
MOST_CANDIDATES = 8  # for each photo
LEAST_FINE = 0.96  # correlation of near duplicates, once aligned
# Ranks of candidates that are no copies any more, but show how alike photos are in general; and the
# largest distance (1 - correlation) of copies as a share of theirs.
TYPICAL = slice(20, 24)
LARGEST_SHARE = 0.125
UNSURE = 0.0025  # how much a correlation may be wrong
BLOCK = 512  # photos compared with all others at once
# Gray levels of a standard deviation below which a photo is too flat to be compared.
FLAT = 2.0
# Share of a photo that the other one must cover, the gray level of what is white in it, the share
# that must not be, and the alignment's number of steps.
LEAST_COVERED = 0.5
WHITE, LEAST_SHADED = 245, 0.1
STEPS = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 15, 1e-4)


class Pair(NamedTuple):
    """Two photos that look the same.

    Attributes:
      first: place of the one.
      second: place of the other.
      similarity: correlation of their details.
      distinct: whether other photos are far less alike, so that these are one photo.
    """

    first: int
    second: int
    similarity: float
    distinct: bool


class Candidate(NamedTuple):
    """A query, another photo, and the part of it that is most like the query."""

    query: int
    other: int
    part: Part
    typical: bool


def find(thumbnails: np.ndarray, progress: Callable[[int], object]) -> list[Pair]:
    """Returns the pairs that look the same, each once with first < second, in order.

    Args:
      thumbnails: uint8 [n, side, side], gray and squeezed to a square.
      progress: called with the number of photos that were compared with all others since the last
        call, twice for each.
    """
    if not len(thumbnails):
        return []
    found: dict[tuple[int, int], float] = {}
    typical = np.zeros(len(thumbnails))
    for mirrored in (False, True):
        queries = np.ascontiguousarray(thumbnails[:, :, ::-1]) if mirrored else thumbnails
        candidates = _candidates(queries, thumbnails, progress)
        similarity_of = functools.partial(_similarity, queries, thumbnails)
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            similar = threads.map(similarity_of, candidates)
            for candidate, similarity in zip(candidates, similar, strict=True):
                one, other = sorted((candidate.query, candidate.other))
                if candidate.typical:
                    typical[candidate.query] = max(typical[candidate.query], similarity)
                elif similarity >= max(LEAST_FINE, found.get((one, other), 0)):
                    found[one, other] = similarity
    return [
        Pair(
            *pair,
            similarity,
            distinct=1 - similarity + UNSURE <= LARGEST_SHARE * (1 - max(typical[list(pair)])),
        )
        for pair, similarity in sorted(found.items())
    ]


def _candidates(
    queries: np.ndarray, thumbnails: np.ndarray, progress: Callable[[int], object]
) -> list[Candidate]:
    """Returns candidates for pairs."""
    wholes = _coarse(queries, PARTS[0])
    parts = np.stack([_coarse(thumbnails, part) for part in PARTS])
    candidates = []
    for start in range(0, len(queries), BLOCK):
        block = wholes[start : start + BLOCK]
        best = np.full((len(block), len(thumbnails)), LEAST_COARSE, np.float32)
        for part in parts:
            np.maximum(best, block @ part.T, out=best)
        itself = np.arange(len(block))
        best[itself, start + itself] = LEAST_COARSE
        for row in np.flatnonzero(best.max(axis=1) > LEAST_COARSE):
            others = np.argsort(-best[row], kind="stable")[: TYPICAL.stop]
            others = others[best[row, others] > LEAST_COARSE]
            for chosen in (slice(MOST_CANDIDATES), TYPICAL):
                for other in others[chosen]:
                    part = PARTS[int(np.argmax(parts[:, other] @ block[row]))]
                    found = Candidate(int(start + row), int(other), part, chosen is TYPICAL)
                    candidates.append(found)
        progress(len(block))
    return candidates


def _coarse(thumbnails: np.ndarray, part: Part) -> np.ndarray:
    """Returns float32 [n, COARSE ** 2], whose products are correlations."""
    side = thumbnails.shape[1]
    matrix = _placed(part, side, COARSE)
    blur = side / COARSE / 2
    found = np.stack(
        [_warped(cv2.GaussianBlur(image, (0, 0), blur), matrix, COARSE) for image in thumbnails]
    ).reshape(len(thumbnails), -1)
    found = found.astype(np.float32) - found.mean(axis=1, keepdims=True, dtype=np.float32)
    norms = np.linalg.norm(found, axis=1, keepdims=True)
    return found / np.where(norms < FLAT * COARSE, np.inf, norms)


def _placed(part: Part, side: int, target: int) -> np.ndarray:
    """Returns the matrix from a target's pixels to those of a part of a thumbnail."""
    x, y, size = part
    scale = size * side / target
    shift = (scale - 1) / 2  # between centers of pixels
    return np.array([[scale, 0, x * side + shift], [0, scale, y * side + shift]], np.float32)


def _warped(image: np.ndarray, matrix: np.ndarray, side: int, outside: int = 1) -> np.ndarray:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, matrix, (side, side), flags=flags, borderMode=outside)


def _similarity(queries: np.ndarray, thumbnails: np.ndarray, candidate: Candidate) -> float:
    """Returns the correlation of details, once the thumbnail is aligned with the query."""
    query, thumbnail, part = queries[candidate.query], thumbnails[candidate.other], candidate.part
    side = len(query)
    start, everywhere = _placed(part, side, side), np.ones_like(query)
    try:
        _, matrix = cv2.findTransformECC(
            query, thumbnail, start, cv2.MOTION_AFFINE, STEPS, everywhere, 5
        )
    except cv2.error:  # they have nothing in common
        return 0.0
    inside = _warped(everywhere, matrix, side, cv2.BORDER_CONSTANT)
    # Filters see beyond the edges.
    inside = cv2.erode(inside, np.ones((7, 7)), borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0
    if inside.mean() < LEAST_COVERED:
        return 0.0
    aligned = _warped(thumbnail, matrix, side)
    # What is white in one photo may have details in a darker one.
    inside &= np.maximum(query, aligned) < WHITE
    if inside.mean() < LEAST_SHADED:
        return 0.0
    return float(np.corrcoef(_details(query)[inside], _details(aligned)[inside])[0, 1])


def _details(image: np.ndarray) -> np.ndarray:
    exact = image.astype(np.float32)
    return cv2.GaussianBlur(exact, (0, 0), 1) - cv2.GaussianBlur(exact, (0, 0), 2)

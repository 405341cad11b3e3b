"""The page `index.html` of an audit: what is in a data set, and what is wrong with it."""

import collections
import datetime
import functools
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from efficientnet.paths import write_whole
from efficientnet.reporting import class_counts, pages
from input_pipeline.audit import photos as limits
from input_pipeline.audit.photos import Measured, Photo, shrunk
from input_pipeline.audit.problems import Audit

PAGE = "index.html"
PICTURE = 160  # pixels of the shorter side
SHOWN_PHOTOS, SHOWN_PAIRS, SHOWN_WORST, SHOWN_ALIKE = 48, 24, 10, 6
LISTED = 200
BINS = 12
# A class with fewer test photos: one photo more or less changes its accuracy by over 10 points.
FEW = 10


def write_audit(audit: Audit, folder: pathlib.Path) -> pathlib.Path:
    """Writes the self-contained page into a folder, which is made; returns its path."""
    problems = list(audit.problems())
    readable = [photo for photo in audit.photos if photo.measured]
    mend, keep = ([p for p in audit.pairs if p.must_mend == wanted] for wanted in (True, False))
    shown = functools.partial(_shown, audit)
    content = pages.render(
        "audit.html",
        title=f"Audit of {audit.source.name}",
        source=audit.source,
        audit=audit,
        date=datetime.date.today(),
        splits=[(name, len(split)) for name, split in audit.source.splits.items()],
        kinds=collections.Counter(problem.kind for problem in problems),
        mend=[problem for problem in problems if problem.must_mend],
        counts=class_counts.shown(
            {name: audit.counts(name) for name in audit.source.splits}, audit.source.class_names
        ),
        classes=_classes(audit),
        few=_few(audit),
        few_below=FEW,
        montage=list(map(shown, _montage(audit, readable))),
        charts=list(_charts([photo.measured for photo in readable if photo.measured])),
        broken=[photo for photo in audit.photos if not photo.measured],
        pairs=[
            (title, len(pairs), [(shown(p.first), shown(p.second), p) for p in _best(pairs)])
            for title, pairs in (
                ("In two splits, or with two labels", mend),
                ("In one split and class", keep),
                *([("Most alike to the network", audit.similar)] if audit.similar else []),
            )
        ],
        alike=[(len(group), list(map(shown, group[:SHOWN_ALIKE]))) for group in audit.alike],
        worst=[
            (title, text, [(shown(photo), value(photo)) for photo in _lowest(readable, value)])
            for title, text, value in _FLAWS
        ],
        listed=LISTED,
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / PAGE
    write_whole(path, content)
    return path


def _shown(audit: Audit, photo: Photo) -> dict[str, str]:
    """Returns a photo's picture and what stands below it."""
    encoded = audit.source.splits[photo.split].read(photo.index)
    assert isinstance(encoded, bytes)
    return {
        "address": pages.photo(shrunk(encoded, 3, PICTURE)[0]),
        "name": photo.name,
        "split": photo.split,
        "label": audit.source.class_names[photo.label],
    }


def _best(pairs: Sequence[Any]) -> Sequence[Any]:
    return sorted(pairs, key=lambda pair: -pair.similarity)[:SHOWN_PAIRS]


def _classes(audit: Audit) -> list[tuple[str, list[int]]]:
    """Returns the number of photos in each split by class, the largest class first."""
    counts = zip(*map(audit.counts, audit.source.splits), strict=True)
    rows = zip(audit.source.class_names, map(list, counts), strict=True)
    return sorted(rows, key=lambda row: -sum(row[1]))


def _few(audit: Audit) -> list[tuple[str, int]]:
    if "test" not in audit.source.splits:
        return []
    found = zip(audit.source.class_names, audit.counts("test"), strict=True)
    return sorted((row for row in found if row[1] < FEW), key=lambda row: row[1])


def _montage(audit: Audit, readable: Sequence[Photo]) -> list[Photo]:
    """Chooses photos to show: of as many classes as possible, as many of each, in label order."""
    of_class = collections.defaultdict(list)
    for photo in readable:
        of_class[photo.label].append(photo)
    labels = sorted(of_class)
    chosen = labels[:: -(-len(labels) // SHOWN_PHOTOS) or 1]
    each = SHOWN_PHOTOS // max(len(chosen), 1)
    return [
        of_class[label][place]
        for label in chosen
        for place in np.unique(np.linspace(0, len(of_class[label]) - 1, each).astype(int))
    ]


def _charts(measured: Sequence[Measured]) -> Iterable[tuple[str, list[tuple[str, int]]]]:
    """Yields histograms: (title, (label, number of photos) for each bar)."""
    shorter = [min(photo.height, photo.width) for photo in measured]
    yield "Shorter side, pixels", _histogram(shorter, lambda value: f"{value:,.0f}")
    ratio = [photo.width / photo.height for photo in measured]
    yield "Width : height", _histogram(ratio, lambda value: f"{value:.2f}")
    formats = collections.Counter(photo.format for photo in measured)
    yield "Formats", formats.most_common()


def _histogram(values: Sequence[float], name: Callable[[float], str]) -> list[tuple[str, int]]:
    """Counts values in bins of equal ratios."""
    if not values:
        return []
    low, high = min(values), max(values)
    if low == high:
        return [(name(low), len(values))]
    edges = np.geomspace(low, high, BINS + 1)
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return [
        (f"{name(start)} to {name(end)}", int(count))
        for start, end, count in zip(edges, edges[1:], counts, strict=False)
    ]


def _lowest(readable: Sequence[Photo], value: Callable[[Photo], float]) -> list[Photo]:
    return sorted(readable, key=value)[:SHOWN_WORST]


def _of(name: str) -> Callable[[Photo], float]:
    return lambda photo: float(getattr(photo.measured, name))


_FLAWS = (
    (
        "Blurriest",
        f"The share of the contrast that is in the finest details; a photo below {limits.BLURRED} "
        "counts as blurred.",
        _of("sharpness"),
    ),
    (
        "Darkest",
        f"The gray value that a twentieth of the photo exceeds; below {limits.DARK:.0f} of 255 it "
        "counts as dark.",
        _of("brightness"),
    ),
    (
        "Emptiest",
        "The standard deviation of the gray values; a photo below "
        f"{limits.EMPTY:.0f} counts as nearly empty.",
        _of("contrast"),
    ),
)

"""Which photos a run uses: those that can be read when it begins, each in its split to the end.

The others are left out by name. A run goes on when they are mended or removed meanwhile: with the
same photos in the same order.
"""

import collections
import dataclasses
import itertools
import logging
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from etils import epath

from efficientnet import records
from efficientnet.config import DataConfig
from efficientnet.errors import UserError
from efficientnet.paths import absolute, cache_directory, printable, write_whole
from efficientnet.records import PhotosRecord, SplitIdentity, SplitPhotos
from efficientnet.runtime import distributed
from efficientnet.training import workdir
from input_pipeline.loader import BatchSource
from input_pipeline.readable import Broken, find_broken
from input_pipeline.sources.split import Split, joined, stamp_of

log = logging.getLogger(__name__)

RECORD = "photos.json.gz"
LIST = "broken_photos.txt"
# So many broken photos are named on the screen.
SHOWN = 20

Splits = Mapping[str, Split]


@dataclasses.dataclass(frozen=True)
class Photos:
    """The photos of a run.

    Attributes:
      splits: without those that are left out.
      identity: of all photos of each split, see `identity`.
      left_out: names.
      begun: whether the run has a checkpoint.
      record: for the workdir; None for a run that an earlier version began, which leaves out none
        at the beginning and skips those that it meets.
    """

    splits: Splits
    identity: dict[str, SplitIdentity]
    left_out: tuple[str, ...]
    begun: bool
    record: PhotosRecord | None

    def leave_out(self, split: str, rest: Split) -> "Photos":
        """Returns the same after more photos of a split were found to be broken; `rest` are not.

        Raises:
          UserError: they were not when the run began.
        """
        kept = set(rest.names)
        lost = [name for name in self.splits[split].names if name not in kept]
        record = self.record
        if lost and record and self.begun:
            raise UserError(
                f"{lost[0]} could be read when the run began, and can't be any more: restore it, "
                "or choose another --workdir"
            )
        if record:
            photos, gone = record.splits[split], set(lost)
            more = [index for index, name in enumerate(photos.names) if name in gone]
            photos = dataclasses.replace(photos, left_out=(*photos.left_out, *more))
            record = PhotosRecord(
                splits={**record.splits, split: photos}, skipped=(*record.skipped, *lost)
            )
        return dataclasses.replace(
            self,
            splits={**self.splits, split: rest},
            left_out=(*self.left_out, *lost),
            record=record,
        )


def identity(splits: Splits) -> dict[str, SplitIdentity]:
    """Returns the number of photos of each split and a digest of their names and labels.

    Folders and file times are not part of it, so that a copy of the data is the same data.
    """
    return {
        name: SplitIdentity(
            photos=len(split), digest=dataclasses.replace(split, stamps=()).fingerprint()
        )
        for name, split in splits.items()
    }


def choose(
    config: DataConfig, class_names: Sequence[str], splits: Splits, folder: epath.Path | None
) -> Photos:
    """Looks at every photo, and leaves out of a new run those that can't be read.

    Args:
      config: of the data.
      class_names: in label order.
      splits: the photos that are there now.
      folder: the run's; None without a run.

    Raises:
      UserError: more photos than `broken_limit` can't be read, or all of a split; or the run has
        begun on other data.
    """
    begun = folder is not None and workdir.has_checkpoint(folder)
    record = None
    if folder is not None and begun:
        splits, record = of_run(folder, splits)
        workdir.check_data(folder, class_names, identity(splits))
    known = set(record.skipped) if record else set()
    broken = _agreed(splits, find_broken(splits, _memory(config)))
    new = [photo for photo in broken if photo.name not in known]
    _show(new, folder, begun)
    if new and len(known) + len(new) > config.broken_limit:
        if folder is not None and record:
            _write_refused(folder, record, [photo.name for photo in new])
        raise _too_many(new, len(known), folder)
    if record:
        _mention(record, broken)
    elif not begun:
        record = _record(splits, new)
    rest = without_broken(splits, record)
    for name, split in rest.items():
        if not len(split):
            raise UserError(
                f"none of the {len(splits[name])} photos of {name} can be read: mend them, or use "
                "other data"
            )
    left_out = record.skipped if record else ()
    return Photos(rest, identity(splits), left_out, begun, record)


def of_run(folder: epath.Path, splits: Splits) -> tuple[Splits, PhotosRecord | None]:
    """Returns the photos of a run in the splits that it began with, and its record.

    What could not be read and has been removed keeps its place, and can't be read. If other
    photos have come or gone, or an earlier version began the run, the splits are returned as they
    are, without a record.
    """
    if not (folder / RECORD).exists():
        return splits, None
    record = records.read(PhotosRecord, folder / RECORD)
    began = {name: _labeled(photos) for name, photos in record.splits.items()}
    now = {name: _labeled(split) for name, split in splits.items()}
    # What was found to be broken later was skipped, and is so to the end.
    skipped = set(record.skipped) - _left_out(record)
    if began == now and not skipped:
        return splits, record
    counts = collections.Counter(itertools.chain(*began.values()))
    if collections.Counter(itertools.chain(*now.values())) - counts:
        return splits, None
    everything = joined([*splits.values(), _GONE])
    gone = len(everything) - 1
    numbers = itertools.count()
    own = {name: {photo: next(numbers) for photo in photos} for name, photos in now.items()}
    anywhere = {photo: index for photos in own.values() for photo, index in photos.items()}
    restored, removed = {}, []
    for name, photos in record.splits.items():
        indices, left_out = [], set(photos.left_out)
        for place, photo in enumerate(began[name]):
            alone = counts[photo] == 1  # a name that occurs twice tells nothing of another split
            index = (anywhere if alone else own[name]).get(photo, gone)
            if place not in left_out:
                if photo[0] in skipped:
                    index = gone if alone else index
                elif index == gone:
                    if photo[0] not in record.refused:
                        return splits, None
                    removed.append(photo[0])
            indices.append(index)
        restored[name] = dataclasses.replace(
            everything.take(np.array(indices)),
            labels=np.array(photos.labels, np.int32),
            names=photos.names,
        )
    return restored, dataclasses.replace(record, skipped=(*record.skipped, *removed))


def without_broken(splits: Splits, record: PhotosRecord | None) -> Splits:
    """Returns the splits without what was left out when the run began."""
    if record is None:
        return splits
    return {
        name: split.take(np.delete(np.arange(len(split)), record.splits[name].left_out))
        if record.splits[name].left_out
        else split
        for name, split in splits.items()
    }


def remember(folder: epath.Path, batches: BatchSource) -> None:
    """Records what has been found to be broken so far, so that it may be mended or removed."""
    if not (batches.skipped or batches.refused) or not distributed.leads():
        return
    if not (folder / RECORD).exists():  # an earlier version began the run
        return
    record = records.read(PhotosRecord, folder / RECORD)
    skipped = tuple(dict.fromkeys((*record.skipped, *batches.skipped)))
    if skipped != record.skipped or batches.refused:
        record = dataclasses.replace(record, skipped=skipped)
        _write_refused(folder, record, batches.refused)


def _write_refused(folder: epath.Path, record: PhotosRecord, names: Sequence[str]) -> None:
    refused = tuple(dict.fromkeys((*record.refused, *names)))
    if distributed.leads():
        records.write(folder / RECORD, dataclasses.replace(record, refused=refused))


def _read_gone(_: int) -> bytes:
    raise OSError("it could not be read before, so that this run does without it")


_GONE = Split(np.zeros(1, np.int32), ("",), _read_gone, stamps=("",))


def _labeled(photos: Split | SplitPhotos) -> list[tuple[str, int]]:
    return list(zip(photos.names, map(int, photos.labels), strict=True))


def _left_out(record: PhotosRecord) -> set[str]:
    return {of.names[index] for of in record.splits.values() for index in of.left_out}


def _memory(config: DataConfig) -> pathlib.Path:
    key = stamp_of(config.source, str(absolute(config.directory)))
    return cache_directory() / "readable" / f"{key}.bin"


def _agreed(splits: Splits, broken: list[Broken]) -> list[Broken]:
    """Adds what can't be read by other processes, so that all leave out the same."""
    mine = {(photo.split, photo.index): photo for photo in broken}
    keys = [(name, index) for name, split in splits.items() for index in range(len(split))]
    union = distributed.in_any_process(np.array([key in mine for key in keys]))
    return [
        mine.get(key)
        or Broken(*key, splits[key[0]].names[key[1]], "not readable for another process")
        for key in map(keys.__getitem__, np.flatnonzero(union))
    ]


def _show(broken: Sequence[Broken], folder: epath.Path | None, begun: bool) -> None:
    """Lists broken photos on the screen and in the workdir."""
    for photo in broken[:SHOWN]:
        log.warning("can't be read: %s of %s (%s)", photo.name, photo.split, photo.reason)
    if len(broken) > SHOWN:
        log.warning("... and %d more photos can't be read", len(broken) - SHOWN)
    if folder is None or not distributed.leads():
        return
    if broken:
        rows = [f"{printable(photo.name)}\t{photo.split}\t{photo.reason}\n" for photo in broken]
        write_whole(folder / LIST, "".join(rows).encode())
    elif not begun:  # what was listed before is mended
        (folder / LIST).unlink(missing_ok=True)


def _mention(record: PhotosRecord, broken: Sequence[Broken]) -> None:
    """Says of a run that goes on what it does without."""
    left_out = _left_out(record)
    if left_out:
        log.warning("%d photos stay left out, as when this run began", len(left_out))
    mended = left_out - {photo.name for photo in broken}
    if mended:
        log.warning("%d of them can be read now, such as %s", len(mended), min(mended))


def _too_many(broken: Sequence[Broken], before: int, folder: epath.Path | None) -> UserError:
    first, more = broken[0], len(broken) - 1
    others = f", nor are {more} others" if more else ""
    where = f" (all are listed in {folder / LIST})" if folder and more else ""
    them = "them" if more else "it"
    return UserError(
        f"{first.name} is not a readable photo ({first.reason}){others}{where}: mend or remove "
        f"{them}, or set config.data.broken_limit={before + len(broken)} to leave {them} out"
    )


def _record(splits: Splits, broken: Sequence[Broken]) -> PhotosRecord:
    if broken:
        counts = collections.Counter(photo.split for photo in broken)
        log.warning(
            "left out, as they can't be read: %s",
            ", ".join(f"{count} of {name}'s photos" for name, count in counts.items()),
        )
    return PhotosRecord(
        splits={
            name: SplitPhotos(
                names=tuple(split.names),
                labels=tuple(split.labels.tolist()),
                left_out=tuple(photo.index for photo in broken if photo.split == name),
            )
            for name, split in splits.items()
        },
        skipped=tuple(photo.name for photo in broken),
    )

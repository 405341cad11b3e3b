"""Data sets of TensorFlow Datasets by name, such as 'stanford_dogs' or 'huggingface:OWNER__NAME'.

They are read as prepared by TFDS, which first downloads and prepares them if it can. The encoded
photos are held in memory.
"""

import logging
from collections.abc import Sequence
from typing import Any

from etils import epath

from efficientnet.errors import UserError
from input_pipeline.sources.labels import EXPECTED, names_of, positions, text_of
from input_pipeline.sources.split import Source, from_encoded
from input_pipeline.sources.splitting import SPLITS, WORDS

log = logging.getLogger(__name__)


def load(name: str, directory: epath.Path | None = None) -> Source:
    """Opens a TFDS data set.

    Args:
      name: as in TFDS, optionally with a config and version.
      directory: TFDS's data_dir; None takes the default.

    Raises:
      UserError: TFDS is not installed or can't provide the data set, or the data set has no labeled
        photos or no train split.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError:
        raise UserError(
            f"the data set {name!r} needs TensorFlow Datasets: pip install '.[tfds]'"
        ) from None
    try:
        builder = tfds.builder(name, data_dir=directory and str(directory))
        builder.download_and_prepare()
    except Exception as error:  # TFDS raises many kinds of errors
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"TensorFlow Datasets can't provide {name!r}: prepare it first or choose another "
            f"source ({reason})"
        ) from None
    info = builder.info
    keys: Sequence[str] = ("image", "label")
    if not set(keys) <= set(info.features):
        keys = info.supervised_keys or ()
    if len(keys) != 2:
        raise UserError(
            f"the data set {name!r} has features {', '.join(info.features)}: expected a photo and "
            "a label"
        )
    image, label = keys
    read: dict[str, list[Any]] = {}
    for given in sorted(info.splits, key=lambda given: given not in SPLITS):
        split = WORDS.get(given.lower(), "")
        if not split or split in read:
            log.info("data: the split %s of %s is not used", given, name)
            continue
        examples = builder.as_dataset(
            split=given,
            decoders={image: tfds.decode.SkipDecoding()},
            read_config=tfds.ReadConfig(interleave_cycle_length=1),
        )
        read[split] = list(examples.as_numpy_iterator())
        megabytes = sum(len(example[image]) for example in read[split]) / 1e6
        log.info("%s/%s: %d photos, %.0f MB in memory", name, split, len(read[split]), megabytes)
    labels = {split: [text_of(row[label]) for row in rows] for split, rows in read.items()}
    for split, found in labels.items():
        if "" in found:
            wrong = read[split][found.index("")][label]
            raise UserError(f"{split} of {name!r} has the label {wrong}: {EXPECTED}")
    known = getattr(info.features[label], "names", None)
    names = known or names_of(labels.get("train", ()), f"{name!r}")
    splits = {}
    for split, rows in read.items():
        numbers = positions(labels[split], names, numbered=bool(known))
        if -1 in numbers:
            wrong = labels[split][numbers.index(-1)]
            raise UserError(
                f"{split} of {name!r} has the label {wrong}, which is none of the {len(names)} "
                "classes: choose another data set"
            )
        places = [f"{split}/{row}" for row in range(len(rows))]
        splits[split] = from_encoded([row[image] for row in rows], places, numbers)
    return Source(name, tuple(names), splits)

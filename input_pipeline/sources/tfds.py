"""Data sets of TensorFlow Datasets by name, such as 'stanford_dogs' or 'huggingface:OWNER__NAME'.

They are read as prepared by TFDS, which first downloads and prepares them if it can. The encoded
photos are held in memory.
"""

import logging
from collections.abc import Sequence

from etils import epath

from efficientnet.errors import UserError
from input_pipeline.sources.in_memory import Table, source_of
from input_pipeline.sources.split import Source
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
    class_names = getattr(info.features[label], "names", None) or ()
    tables: dict[str, Table] = {}
    for given in sorted(info.splits, key=lambda given: given not in SPLITS):
        split = WORDS.get(given.lower(), "")
        if not split or split in tables:
            log.info("data: the split %s of %s is not used", given, name)
            continue
        examples = builder.as_dataset(
            split=given,
            decoders={image: tfds.decode.SkipDecoding()},
            read_config=tfds.ReadConfig(interleave_cycle_length=1),
        )
        rows = list(examples.as_numpy_iterator())
        photos = [row[image] for row in rows]
        megabytes = sum(map(len, photos)) / 1e6
        log.info("%s/%s: %d photos, %.0f MB in memory", name, split, len(rows), megabytes)
        labels = [row[label] for row in rows]
        tables[split] = Table(f"{split} of {name!r}", photos, labels, class_names)
    if not tables:
        raise UserError(f"the data set {name!r} has no split to train on, of {', '.join(WORDS)}")
    return source_of(name, tables)

"""Data sets of TensorFlow Datasets by name, such as 'stanford_dogs' or 'huggingface:OWNER__NAME'.

They are read as prepared by TFDS, which first downloads and prepares them if it can. The encoded
photos are held in memory.
"""

import logging

from etils import epath

from efficientnet.errors import UserError
from input_pipeline.sources.split import Source, from_encoded

log = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")


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
    features = builder.info.features
    if not {"image", "label"} <= set(features) or "train" not in builder.info.splits:
        raise UserError(
            f"the data set {name!r} has features {', '.join(features)} and splits "
            f"{', '.join(builder.info.splits)}: expected image and label, and a train split"
        )
    splits = {}
    for split in SPLITS:
        if split not in builder.info.splits:
            continue
        examples = builder.as_dataset(
            split=split,
            decoders={"image": tfds.decode.SkipDecoding()},
            read_config=tfds.ReadConfig(interleave_cycle_length=1),
        )
        encoded, labels = [], []
        for example in examples.as_numpy_iterator():
            encoded.append(example["image"])
            labels.append(int(example["label"]))
        names = [f"{split}/{row}" for row in range(len(encoded))]
        splits[split] = from_encoded(encoded, names, labels)
        megabytes = sum(map(len, encoded)) / 1e6
        log.info("%s/%s: %d photos, %.0f MB in memory", name, split, len(encoded), megabytes)
    return Source(name, tuple(features["label"].names), splits)

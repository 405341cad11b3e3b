"""From a folder of photos to uint8 batches.

    source = load_source('stanford_cars', '/data/cars')
    train, validation = hold_out(source.splits['train'], fraction=0.1, seed=0)
    for batch in train_batches(train, batch_size=32, resolution=224, num_steps=100):
        batch['image']  # uint8 [32, 224, 224, 3], of a tf.data.Dataset
    for batch in eval_batches(validation, batch_size=32, resolution=224):
        batch['mask']  # False where the last batch is padded

A user's own `tf.data.Dataset` of (image, label) becomes a source under any name, which
`config.data.source` then takes from Python:

    SOURCES['mine'] = lambda: from_dataset(train, test)

Every order and every pixel is a function of (seed, epoch, example index): not of the number of
threads or processes, nor of where a run was restarted. Normalization happens on the device.
"""

from etils import epy

# TensorFlow comes with most of it and takes its time: each name is imported when it is used.
with epy.lazy_api_imports(globals()):
    from input_pipeline.augment.augmentation import Augmentation, without_chance
    from input_pipeline.augment.spec import OPS, parse
    from input_pipeline.cache import decoded
    from input_pipeline.loader import (
        Batch,
        BatchSource,
        ExampleSpec,
        Loader,
        as_numpy,
        eval_batches,
        train_batches,
    )
    from input_pipeline.sources import (
        SOURCES,
        Source,
        Split,
        corrected,
        fold,
        hold_out,
        joined,
        load_source,
        split_of,
    )
    from input_pipeline.sources.dataset import from_dataset
    from input_pipeline.sources.unlabeled import find_photos, photo_split
    from input_pipeline.statistics import cached_statistics

__all__ = [
    "OPS",
    "SOURCES",
    "Augmentation",
    "Batch",
    "BatchSource",
    "ExampleSpec",
    "Loader",
    "Source",
    "Split",
    "as_numpy",
    "cached_statistics",
    "corrected",
    "decoded",
    "eval_batches",
    "find_photos",
    "fold",
    "from_dataset",
    "hold_out",
    "joined",
    "load_source",
    "parse",
    "photo_split",
    "split_of",
    "train_batches",
    "without_chance",
]

"""From a folder of photos to uint8 batches.

    source = load_source('stanford_cars', '/data/cars')
    train, validation = hold_out(source.splits['train'], fraction=0.1, seed=0)
    loader = Loader(train, batch_size=32, resolution=224)
    for batch in loader.train(start_step=0, num_steps=100):
        batch['image']  # uint8 [32, 224, 224, 3]
    for batch in loader.evaluate(validation):
        batch['mask']  # False where the last batch is padded
    loader.train_dataset(start_step=0, num_steps=100)  # the same as a tf.data.Dataset

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
    from input_pipeline.loader import Batch, BatchSource, Loader
    from input_pipeline.sources import SOURCES, load_source
    from input_pipeline.sources.corrections import corrected
    from input_pipeline.sources.dataset import from_dataset
    from input_pipeline.sources.groups import fold
    from input_pipeline.sources.split import Source, Split, joined
    from input_pipeline.sources.splitting import hold_out, split_of
    from input_pipeline.sources.unlabeled import find_photos, photo_split
    from input_pipeline.statistics import cached_statistics

__all__ = [
    "OPS",
    "SOURCES",
    "Augmentation",
    "Batch",
    "BatchSource",
    "Loader",
    "Source",
    "Split",
    "cached_statistics",
    "corrected",
    "decoded",
    "find_photos",
    "fold",
    "from_dataset",
    "hold_out",
    "joined",
    "load_source",
    "parse",
    "photo_split",
    "split_of",
    "without_chance",
]

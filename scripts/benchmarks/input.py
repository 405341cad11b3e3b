"""The input pipeline and its peers, on the same photos: from files to uint8 batches of one size."""

import itertools
import os
import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from etils import epath

from scripts.benchmarks.workload import Setting, Workload, repeated

EXTENSIONS = (".jpg", ".jpeg")
CROP = "random_resized_crop(scale=(0.5, 1.0))|flip_left_right"
JITTER = "color_jitter(0.2, 0.2, 0.2)"
AUGMENTS = {
    "crop and flip": CROP,
    "affine and jitter": f"{CROP}|affine(25, 0.1, (0.9, 1.1), 8)|{JITTER}",
}
CACHED = 256
MANY = 10**9
THREADS = os.cpu_count() or 1


def photos(directory: str) -> list[str]:
    """Paths of all JPEG files below a directory, relative to it."""
    folder = pathlib.Path(directory)
    found = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix.lower() in EXTENSIONS
    )
    if not found:
        raise ValueError(f"no JPEG photo in {directory}")
    return found


def ours(setting: Setting, directory: str, augment: str, cached: bool = False) -> Workload:
    """This project's training batches, from files or from decoded photos in memory."""
    import input_pipeline

    split = _split(directory)
    if cached:
        split = input_pipeline.cache_in_memory(split, resolution=CACHED)
    batches = input_pipeline.train_batches(
        split,
        batch_size=setting.batch,
        resolution=setting.resolution,
        num_steps=MANY,
        augment=AUGMENTS[augment],
    )
    return _workload(batches, setting, ("tensorflow-cpu", "opencv-python-headless"))


def part(setting: Setting, directory: str, what: str) -> Workload:
    """One part of the pipeline alone: 'read', 'decode' (of the crop), 'batch' or 'transfer'."""
    import jax

    from input_pipeline import decode, plans, warp
    from input_pipeline.quiet_tensorflow import tf

    split = _split(directory)
    side = setting.resolution
    if what == "transfer":
        batch = np.zeros([setting.batch, side, side, 3], np.uint8)
        return Workload(
            repeated(lambda: jax.device_put(batch).block_until_ready(), setting.batch), ("jax",), 1
        )
    moves = plans.photometric(CROP, side, 3)[0].moves
    blank = tf.zeros([side, side, 3], tf.uint8)

    def one(index: Any) -> Any:
        if what == "batch":
            return tf.bitwise.bitwise_xor(blank, tf.cast(index % 2, tf.uint8))
        encoded = split.read(index)
        if what == "read":
            return tf.strings.length(encoded)
        draws = tf.random.stateless_uniform(
            [sum(move.draws for move in moves)], tf.stack([index, index]), alg="philox"
        )

        def plan(size: Any) -> Any:
            return warp.compose(moves, size, side, draws)

        return decode.decode_window(encoded, 3, plan, side, 0)[0][0, 0]

    return _tensorflow(setting, len(split), one)


def bare_decoding(setting: Setting, directory: str) -> Workload:
    """tf.io.decode_jpeg of whole photos, and nothing else."""
    from input_pipeline.quiet_tensorflow import tf

    split = _split(directory)
    return _tensorflow(
        setting, len(split), lambda index: tf.io.decode_jpeg(split.read(index), 3)[0, 0]
    )


def plain_tensorflow(setting: Setting, directory: str) -> Workload:
    """What tutorials do: fused decode and crop, bilinear resize, flip; no affine."""
    from input_pipeline.quiet_tensorflow import tf

    split = _split(directory)
    side = setting.resolution

    def one(index: Any) -> Any:
        encoded = split.read(index)
        begin, size, _ = tf.image.sample_distorted_bounding_box(
            tf.io.extract_jpeg_shape(encoded),
            tf.zeros([1, 0, 4]),
            use_image_if_no_bounding_boxes=True,
            area_range=(0.5, 1.0),
            min_object_covered=0.0,
        )
        window = tf.concat([begin[:2], size[:2]], 0)
        image = tf.image.resize(tf.io.decode_and_crop_jpeg(encoded, window, 3), [side, side])
        return tf.cast(tf.image.random_flip_left_right(image), tf.uint8)

    return _tensorflow(setting, len(split), one)


def torchvision(setting: Setting, directory: str, affine: bool = False) -> Workload:
    """torchvision's transforms v2 in a DataLoader with as many workers as there are cores."""
    import torch
    from PIL import Image
    from torchvision.transforms import v2

    changes: list[Any] = [
        v2.RandomResizedCrop(setting.resolution, scale=(0.5, 1.0), antialias=True),
        v2.RandomHorizontalFlip(),
    ]
    if affine:
        changes += [
            v2.RandomAffine(25, (0.1, 0.1), (0.9, 1.1), 8, v2.InterpolationMode.BILINEAR),
            v2.ColorJitter(0.2, 0.2, 0.2),
        ]
    transform = v2.Compose([*changes, v2.PILToTensor()])
    names = photos(directory)

    class Photos(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return 1_000_000

        def __getitem__(self, index: int) -> Any:
            with open(f"{directory}/{names[index % len(names)]}", "rb") as file:
                return transform(Image.open(file).convert("RGB"))

    loader = torch.utils.data.DataLoader(Photos(), setting.batch, num_workers=THREADS)
    return _workload(loader, setting, ("torch", "torchvision", "pillow"))


def _split(directory: str) -> Any:
    from input_pipeline.sources.split import from_files

    names = photos(directory)
    return from_files(epath.Path(directory), names, [0] * len(names))


def _tensorflow(setting: Setting, count: int, one: Any) -> Workload:
    from input_pipeline.quiet_tensorflow import tf

    options = tf.data.Options()
    options.autotune.enabled = False
    options.threading.private_threadpool_size = THREADS
    options.threading.max_intra_op_parallelism = 1
    plainly = tf.autograph.experimental.do_not_convert
    batches = (
        tf.data.Dataset.range(MANY)
        .map(plainly(lambda index: one(index % count)), num_parallel_calls=THREADS)
        .batch(setting.batch)
        .prefetch(2)
        .with_options(options)
    )
    return _workload(batches.as_numpy_iterator(), setting, ("tensorflow-cpu",))


def _workload(batches: Iterable[Any], setting: Setting, packages: tuple[str, ...]) -> Workload:
    iterator = itertools.chain.from_iterable(itertools.repeat(batches))
    return Workload(repeated(lambda: next(iterator), setting.batch), packages, THREADS)

"""Input pipelines on the same photos, ours and others: from files to uint8 batches."""

import dataclasses
import itertools
import os
import pathlib
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from etils import epath

from benchmarks.rates.workload import Setting, Workload, repeated

EXTENSIONS = (".jpg", ".jpeg")
CROP = "random_resized_crop(scale=(0.5, 1.0))|flip_left_right"
JITTER = "color_jitter(0.2, 0.2, 0.2)"
AUGMENTS = {
    "crop and flip": CROP,
    "affine and jitter": f"{CROP}|affine(25, 0.1, (0.9, 1.1), 8)|{JITTER}",
    "RandAugment": f"{CROP}|rand_augment",
    "AutoAugment": f"{CROP}|auto_augment",
    "pad and flip": "pad|flip_left_right",
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


def ours(
    setting: Setting,
    directory: str,
    augment: str,
    cached: bool = False,
    threads: int = THREADS,
) -> Workload:
    """This project's training batches, from files or from decoded photos in memory."""
    import input_pipeline

    split = _split(directory)
    if cached:
        split = input_pipeline.decoded(split, CACHED, 3, "memory")
    loader = input_pipeline.Loader(
        split,
        batch_size=setting.batch,
        resolution=setting.resolution,
        augment=AUGMENTS[augment],
        threads=threads,
    )
    packages = ("tensorflow-cpu", "opencv-python-headless")
    plain = _workload(loader.train(0, MANY), setting, packages)
    facts: dict[str, Any] = {}
    return dataclasses.replace(
        plain, run=_counting_cores(plain.run, facts), threads=threads, facts=facts
    )


def _counting_cores(
    run: Callable[[float], tuple[int, float]], facts: dict[str, Any]
) -> Callable[[float], tuple[int, float]]:
    """Returns a `Workload.run` that notes in `facts` how many cores were busy on average.

    Fewer than there are threads and cores means that threads wait: for files, for one another,
    or for Python's lock.
    """

    def counting(seconds: float) -> tuple[int, float]:
        begin = time.perf_counter(), time.process_time()
        result = run(seconds)
        passed, used = time.perf_counter() - begin[0], time.process_time() - begin[1]
        facts["cores_busy"] = round(used / passed, 2)
        return result

    return counting


def part(setting: Setting, directory: str, what: str) -> Workload:
    """A single part: 'read', 'decode', 'augment' (decoded photos), 'batch' or 'transfer'."""
    import jax

    import input_pipeline
    from input_pipeline import decode
    from input_pipeline.augment.augmentation import Augmentation
    from input_pipeline.order import Order

    side = setting.resolution
    blank = np.zeros([side, side, 3], np.uint8)
    if what == "transfer":
        batch = np.stack([blank] * setting.batch)
        return Workload(
            repeated(lambda: jax.device_put(batch).block_until_ready(), setting.batch), ("jax",), 1
        )
    split = _split(directory)
    if what == "augment":
        decoded = [decode.decode(split.read(index), 3) for index in range(len(split))]
        split = dataclasses.replace(split, read=decoded.__getitem__)
    elif what == "batch":
        split = dataclasses.replace(split, read=lambda index: b"")

    class Part(Augmentation):
        def __call__(self, photo: Any, draws: Any, seed: Any) -> np.ndarray:
            if what == "augment":
                return super().__call__(photo, draws, seed)
            if what == "decode":
                decode.decode(photo, 3)
            return blank

    loader = input_pipeline.Loader(split, batch_size=setting.batch, resolution=side)
    order = Order(len(split), setting.batch, seed=0)
    augmentation = Part(AUGMENTS["affine and jitter"], side)
    batches = loader.dataset(split, order, range(MANY), augmentation)
    return _workload(
        batches.as_numpy_iterator(), setting, ("tensorflow-cpu", "opencv-python-headless")
    )


def bare_decoding(setting: Setting, directory: str) -> Workload:
    """tf.io.decode_jpeg of whole photos, and nothing else."""
    from input_pipeline.quiet_tensorflow import tf

    return _tensorflow(setting, directory, lambda encoded: tf.io.decode_jpeg(encoded, 3)[0, 0])


def plain_tensorflow(setting: Setting, directory: str) -> Workload:
    """A typical tf.data pipeline: fused decode and crop, bilinear resize, flip; no affine warps."""
    from input_pipeline.quiet_tensorflow import tf

    side = setting.resolution

    def one(encoded: Any) -> Any:
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

    return _tensorflow(setting, directory, one)


def torchvision(setting: Setting, directory: str, augment: str) -> Workload:
    """torchvision's transforms v2 in a DataLoader with one worker per core."""
    import torch
    from PIL import Image
    from torchvision.transforms import v2

    bilinear = v2.InterpolationMode.BILINEAR
    more: dict[str, list[Any]] = {
        "crop and flip": [],
        "affine and jitter": [
            v2.RandomAffine(25, (0.1, 0.1), (0.9, 1.1), 8, bilinear),
            v2.ColorJitter(0.2, 0.2, 0.2),
        ],
        "RandAugment": [v2.RandAugment(interpolation=bilinear, fill=128)],
        "AutoAugment": [v2.AutoAugment(interpolation=bilinear, fill=128)],
    }
    crop = v2.RandomResizedCrop(setting.resolution, scale=(0.5, 1.0), antialias=True)
    transform = v2.Compose([crop, v2.RandomHorizontalFlip(), *more[augment], v2.PILToTensor()])
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


def _tensorflow(setting: Setting, directory: str, one: Any) -> Workload:
    from input_pipeline.quiet_tensorflow import tf

    paths = tf.constant([f"{directory}/{name}" for name in photos(directory)])
    count = len(paths)
    options = tf.data.Options()
    options.autotune.enabled = False
    options.threading.private_threadpool_size = THREADS
    options.threading.max_intra_op_parallelism = 1
    plainly = tf.autograph.experimental.do_not_convert
    batches = (
        tf.data.Dataset.range(MANY)
        .map(
            plainly(lambda index: one(tf.io.read_file(paths[index % count]))),
            num_parallel_calls=THREADS,
        )
        .batch(setting.batch)
        .prefetch(2)
        .with_options(options)
    )
    return _workload(batches.as_numpy_iterator(), setting, ("tensorflow-cpu",))


def _workload(batches: Iterable[Any], setting: Setting, packages: tuple[str, ...]) -> Workload:
    iterator = itertools.chain.from_iterable(itertools.repeat(batches))
    return Workload(repeated(lambda: next(iterator), setting.batch), packages, THREADS)

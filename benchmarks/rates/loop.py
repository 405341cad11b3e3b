"""The training and evaluation loops on data that is ready: what they add to the bare steps."""

import dataclasses
import io
import itertools
import logging
import tempfile
import time
from collections.abc import Iterator

import jax
import numpy as np
import PIL.Image
from etils import epath

import input_pipeline
from benchmarks.rates import ours
from benchmarks.rates.workload import CLASSES, Setting, Workload
from efficientnet.config import RunConfig
from efficientnet.network.model import EfficientNet, init_variables
from efficientnet.network.variants import get_variant
from efficientnet.runtime import compilation_cache, devices
from efficientnet.runtime.preemption import Stop
from efficientnet.training import evaluate as evaluation
from efficientnet.training.setup import Data, Experiment
from efficientnet.training.trainer import Trainer
from efficientnet.weights.conventions import MEAN_STD
from input_pipeline.sources.split import from_encoded

# With fewer steps, the time to fill the pipeline would dominate.
LEAST_STEPS = 10


@dataclasses.dataclass(frozen=True)
class ReadyBatches:
    """An `input_pipeline.BatchSource` that repeats one batch of noise."""

    batch: input_pipeline.Batch
    skipped: list[str] = dataclasses.field(default_factory=list)
    refused: list[str] = dataclasses.field(default_factory=list)

    def train(self, start_step: int, num_steps: int) -> Iterator[input_pipeline.Batch]:
        """See `BatchSource`."""
        return itertools.repeat(self.batch, num_steps)

    def evaluate(self, split: input_pipeline.Split) -> Iterator[input_pipeline.Batch]:
        """See `BatchSource`."""
        return itertools.repeat(self.batch, len(split) // len(self.batch["label"]))


def train(setting: Setting) -> Workload:
    """Whole runs of the trainer, with the rate that the trainer reports."""
    logging.getLogger("efficientnet").setLevel(logging.WARNING)
    compilation_cache.enable()
    rate = 0.0

    def run(seconds: float) -> tuple[int, float]:
        nonlocal rate
        count = max(LEAST_STEPS, round(seconds * rate / setting.batch))
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            experiment = _experiment(setting, num_steps=count)
            (result,) = Trainer(experiment, epath.Path(folder), Stop()).run().finished
        rate = result.images_per_second
        images = (count - 1) * setting.batch  # the first step is not timed
        return images, images / rate

    run(0)
    return Workload(run, ours.PACKAGES, ours.threads())


def evaluate(setting: Setting) -> Workload:
    """Evaluations of a split, from the first batch to the metrics."""
    compilation_cache.enable()
    experiment = _experiment(setting, num_steps=1)
    evaluator = evaluation.for_experiment(experiment)
    variables = devices.place(experiment.variables, experiment.mesh)
    rate = 0.0

    def run(seconds: float) -> tuple[int, float]:
        nonlocal rate
        split = _split(setting, max(LEAST_STEPS, round(seconds * rate / setting.batch)))
        begin = time.perf_counter()
        evaluator(variables, split)
        passed = time.perf_counter() - begin
        rate = len(split) / passed
        return len(split), passed

    for _ in range(2):
        run(0)
    return Workload(run, ours.PACKAGES, ours.threads())


def _experiment(setting: Setting, num_steps: int) -> Experiment:
    config = RunConfig(
        variant=setting.variant,
        weights="",
        resolution=setting.resolution,
        dtype=setting.dtype,
        batch_size=setting.batch,
        stages=(ours.recipe("all", setting.batch_norm),),
    )
    variant = get_variant(setting.variant)
    names = tuple(str(number) for number in range(CLASSES))
    one = _split(setting, 1)
    return Experiment(
        config=config,
        mesh=devices.data_mesh(),
        data=Data(names, _split(setting, num_steps), one, one),
        variant=variant,
        padding=variant.padding,
        bn_epsilon=variant.bn_epsilon,
        mean=np.asarray(MEAN_STD.mean, np.float32),
        std=np.asarray(MEAN_STD.std, np.float32),
        variables=init_variables(EfficientNet(variant, CLASSES), jax.random.key(0)),
        batches=ReadyBatches(ours.random_batch(setting)),
    )


def _split(setting: Setting, num_batches: int) -> input_pipeline.Split:
    """A split of `count` examples, whose photos (one black pixel each) only the report reads."""
    photo = io.BytesIO()
    PIL.Image.new("RGB", (1, 1)).save(photo, format="PNG")
    labels = np.resize(ours.random_batch(setting)["label"], num_batches * setting.batch).tolist()
    return from_encoded([photo.getvalue()] * len(labels), [""] * len(labels), labels)

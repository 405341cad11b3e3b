"""A finished run with everything that can be done with it."""

import dataclasses
import functools
import html
import io
import os
import pathlib
from collections.abc import Sequence

import PIL.Image
from etils import epath

import input_pipeline
from efficientnet.errors import UserError
from efficientnet.inference import evaluate, heatmaps
from efficientnet.inference.evaluate import Evaluation
from efficientnet.inference.explain import BATCH_SIZE, explain
from efficientnet.inference.export.exporter import export
from efficientnet.inference.export.formats import DEFAULT, check_formats
from efficientnet.inference.loading import load_run
from efficientnet.inference.network import TrainedNetwork
from efficientnet.inference.predict import class_index, photo_loader, predict, top_classes
from efficientnet.paths import is_in_bucket, user_path
from efficientnet.reporting import report, runs, tables

Photos = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
SPLITS = ("test", "validation", "train")
DPI = 100


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The most probable classes of a photo; printed, one line.

    Attributes:
      photo: its path.
      classes: their names, the most probable first.
      probabilities: of each of them.
    """

    photo: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]

    def __str__(self) -> str:
        rows = zip(self.classes, self.probabilities, strict=True)
        return f"{self.photo}: {', '.join(f'{name} {share:.1%}' for name, share in rows)}"

    __repr__ = __str__


@dataclasses.dataclass(frozen=True)
class Page(os.PathLike[str]):
    """A self-contained page, which a notebook shows.

    Attributes:
      path: of the file.
    """

    path: epath.Path

    def __fspath__(self) -> str:
        return str(self.path)

    def _repr_html_(self) -> str:
        content = html.escape(self.path.read_text("utf-8"))
        return f'<iframe srcdoc="{content}" style="width: 100%; height: 40em; border: 0"></iframe>'


class FinishedRun(runs.Run):
    """A finished run; printed, the table of its stages.

    `folder`, `config`, `summary` and what `reporting.runs.Run` derives from them come from its
    workdir; `efficientnet.open_run` reads it.
    """

    def __repr__(self) -> str:
        return f"{self.folder}\n{tables.stage_table(self.stages)}"

    __str__ = __repr__

    @functools.cached_property
    def network(self) -> TrainedNetwork:
        """The network with the best weights of the last stage."""
        return self.network_of()

    def network_of(self, stage: str | None = None) -> TrainedNetwork:
        """Returns the network with the best weights of a stage, by default the last one.

        Raises:
          UserError: there is no such stage, or a file is damaged.
        """
        return load_run(str(self.folder), stage)

    @property
    def report(self) -> Page:
        """The page with the results, which a notebook shows."""
        return Page(self.folder / report.PAGE)

    def evaluate(
        self,
        split: str = "test",
        *,
        stage: str | None = None,
        flip: bool = False,
        directory: str | None = None,
    ) -> Evaluation:
        """Evaluates a network of the run on its photos, each counted once.

        Args:
          split: 'test', 'validation' or 'train'.
          stage: whose best weights; by default the last stage's.
          flip: average over each photo and its mirror image.
          directory: where the photos are, if they have moved.

        Raises:
          UserError: there is no such split or stage, or the photos can't be read.
        """
        if split not in SPLITS:
            raise UserError(f"there is no split {split!r}: expected one of {', '.join(SPLITS)}")
        network = self.network_of(stage) if stage else self.network
        data = evaluate.data_of(network, directory)
        return evaluate.evaluate(
            network,
            data.splits[split],
            data.class_names,
            flip=flip,
            broken_limit=self.config.data.broken_limit,
        )

    def predict(
        self, photos: Photos, *, top: int = 5, stage: str | None = None
    ) -> list[Prediction]:
        """Classifies photos, prepared as in the evaluation.

        Args:
          photos: files, folders with all that is in them, or globs.
          top: how many of the most probable classes to return.
          stage: whose best weights; by default the last stage's.

        Raises:
          UserError: there is no such photo, or one can't be read.
        """
        if top < 1:
            raise UserError(f"top is {top}: expected at least 1")
        network = self.network_of(stage) if stage else self.network
        loader = photo_loader(network, input_pipeline.photo_split(_paths(photos)))
        return [
            Prediction(
                name,
                tuple(str(row["class"]) for row in rows),
                tuple(float(str(row["probability"])) for row in rows),
            )
            for batch in predict(network, loader)
            for name, found in zip(batch.names, batch.probabilities, strict=True)
            for rows in [top_classes(network, found, top)]
        ]

    def explain(
        self, photos: Photos, *, of_class: str | None = None, stage: str | None = None
    ) -> PIL.Image.Image:
        """Draws where in photos the network sees a class (Grad-CAM); a notebook shows it.

        Args:
          photos: files, folders with all that is in them, or globs.
          of_class: name of the class; by default the most probable one of each photo.
          stage: whose best weights; by default the last stage's.

        Raises:
          UserError: there is no such photo or class, or one can't be read.
        """
        network = self.network_of(stage) if stage else self.network
        label = None if of_class is None else class_index(network, of_class)
        loader = photo_loader(network, input_pipeline.photo_split(_paths(photos)), BATCH_SIZE)
        rows = [[one] for one in explain(network, loader, label)]
        content = io.BytesIO()
        figure = heatmaps.draw(rows, [network.class_names])
        figure.savefig(content, format="png", dpi=DPI)
        content.seek(0)
        return PIL.Image.open(content)

    def export(
        self,
        output: str | os.PathLike[str],
        formats: Sequence[str] = DEFAULT,
        *,
        stage: str | None = None,
    ) -> pathlib.Path:
        """Exports the network to a new folder that can be used without this project.

        Each format is run in a separate process and must agree with the network to 1e-4; else
        nothing is left behind.

        Args:
          output: the folder, which must not exist.
          formats: of 'stablehlo', 'saved_model', 'tflite' and 'onnx'.
          stage: whose best weights; by default the last stage's.

        Returns:
          The folder.

        Raises:
          UserError: it exists or is in a bucket, a format or its package is missing, or one doesn't
            agree.
        """
        check_formats(formats)
        path = user_path(os.fspath(output))
        if is_in_bucket(path):
            raise UserError(f"{path} is in a bucket: expected a folder on this machine")
        folder = pathlib.Path(path)
        network = self.network_of(stage) if stage else self.network
        export(network, folder, formats, f"the run {self.name}")
        return folder


def _paths(photos: Photos) -> list[str]:
    several = [photos] if isinstance(photos, str | os.PathLike) else photos
    return input_pipeline.find_photos([os.fspath(photo) for photo in several])

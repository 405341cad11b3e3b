"""A page on which anyone can try a network, and an address that answers programs in JSON."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

import input_pipeline
from efficientnet.errors import UserError
from efficientnet.inference.explain import BATCH_SIZE, grad_cam
from efficientnet.inference.heatmaps import overlay
from efficientnet.inference.network import Network
from efficientnet.inference.predict import photo_loader, top_classes
from efficientnet.paths import printable
from efficientnet.reporting.predictions import softmax
from input_pipeline.sources.split import Split, from_encoded

ADDRESS = "/classify"
NAMED_CLASSES = 8  # of those that the page names at its top
UNREADABLE = "can't be read as a photo"


class Answer(NamedTuple):
    """What a network says to a photo.

    Attributes:
      photo: its name.
      predictions: the most probable classes, as `predict.top_classes` gives them; empty if the
        photo can't be read.
      picture: uint8 [H, W, 3], the photo as the network sees it, under the heat map of the most
        probable class; None if it can't be read.
    """

    photo: str
    predictions: list[dict[str, object]]
    picture: np.ndarray | None

    def to_json(self) -> dict[str, object]:
        """As scripts/predict.py --json; a photo that can't be read has an `error` instead."""
        if self.picture is None:
            return {"image": self.photo, "error": f"it {UNREADABLE}"}
        return {"image": self.photo, "predictions": self.predictions}


class Classifier:
    """A network that answers again and again, compiled once for one photo and once for several.

    Args:
      network: to classify with.
      top: how many classes an answer has.
    """

    def __init__(self, network: Network, top: int) -> None:
        self.network = network
        self._top = top

        @jax.jit
        def compute(variables: Any, images: jax.Array) -> tuple[jax.Array, jax.Array]:
            return grad_cam(dataclasses.replace(network, variables=variables), images)

        self._compute = compute

    def __call__(self, photos: Split) -> list[Answer]:
        """Returns the answers to all photos, in their order."""
        answers = {answer.photo: answer for answer in self._answers(photos)}
        return [answers.get(name, Answer(name, [], None)) for name in photos.names]

    def _answers(self, photos: Split) -> Iterator[Answer]:
        count = jax.device_count()
        size = 1 if len(photos) == 1 else BATCH_SIZE
        loader = photo_loader(self.network, photos, broken_limit=len(photos))
        loader = dataclasses.replace(loader, batch_size=-(-size // count) * count)
        for batch in loader.evaluate(photos):
            images = batch["image"]
            logits, maps = self._compute(self.network.variables, images)
            probabilities = softmax(np.asarray(logits))
            heats = np.asarray(jax.image.resize(maps, images.shape[:3], "linear"))
            for row in np.flatnonzero(batch["mask"]):
                heat = heats[row] / max(heats[row].max(), 1e-12)
                yield Answer(
                    photos.names[batch["index"][row]],
                    top_classes(self.network, probabilities[row], self._top),
                    np.rint(255 * overlay(images[row], heat)).astype(np.uint8),
                )

    def warm_up(self) -> None:
        """Compiles for one photo, so that the first visitor does not wait for it."""
        size = self.network.resolution
        images = np.zeros((jax.device_count(), size, size, self.network.channels), np.uint8)
        jax.block_until_ready(self._compute(self.network.variables, images))


def application(classifier: Classifier, title: str) -> Any:
    """Returns the page, and `POST /classify` for programs, as a FastAPI application.

    Args:
      classifier: which answers.
      title: of the page.

    Raises:
      UserError: gradio is not installed.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # it would call home
    try:
        import fastapi
        import gradio
    except ImportError:
        raise UserError("the page needs gradio: pip install '.[serve]'") from None
    app = fastapi.FastAPI(title=title)

    def classify(photos: list[fastapi.UploadFile]) -> list[dict[str, object]]:
        names = _unique([photo.filename or "photo" for photo in photos])
        encoded = [photo.file.read() for photo in photos]
        return [
            answer.to_json()
            for answer in classifier(from_encoded(encoded, names, [0] * len(names)))
        ]

    app.post(ADDRESS)(classify)
    page = _page(gradio, classifier, title)
    # Its own fonts would be fetched from the Internet.
    theme = gradio.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])
    return gradio.mount_gradio_app(app, page, "/", theme=theme, footer_links=["api"])


def _unique(names: Sequence[str]) -> list[str]:
    """Numbers what has the same name as a photo before it."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found


def _page(gradio: Any, classifier: Classifier, title: str) -> Any:
    names = classifier.network.class_names
    known = ", ".join(map(printable, names[:NAMED_CLASSES]))
    if len(names) > NAMED_CLASSES:
        known += ", ..."

    def one(path: str | None) -> tuple[dict[str, float] | str | None, np.ndarray | None]:
        if path is None:
            return None, None
        (answer,) = classifier(input_pipeline.photo_split([path]))
        if answer.picture is None:
            return UNREADABLE, None
        return {str(row["class"]): float(str(row["probability"])) for row in answer.predictions}, (
            answer.picture
        )

    def many(paths: list[str] | None) -> list[list[str]]:
        if not paths:
            return []
        return [
            [pathlib.PurePath(answer.photo).name, *_best(answer)]
            for answer in classifier(input_pipeline.photo_split(paths))
        ]

    with gradio.Blocks(title=title) as page:
        gradio.Markdown(f"# {title}\nTells {len(names):,} classes apart: {known}")
        with gradio.Tab("A photo"), gradio.Row():
            photo = gradio.Image(
                label="Photo", type="filepath", image_mode=None, sources=["upload", "webcam"]
            )
            # Gradio would open the file first, and fail in its own words where it can't.
            photo.preprocess = lambda file: file.path if file else None
            with gradio.Column():
                bars = gradio.Label(label="Most probable")
                heat = gradio.Image(
                    label="Where the network sees it", interactive=False, buttons=["download"]
                )
            photo.change(one, photo, [bars, heat], api_name="photo")
        with gradio.Tab("Many photos"):
            files = gradio.File(label="Photos", file_count="multiple", file_types=["image"])
            table = gradio.Dataframe(headers=["photo", "class", "probability"], interactive=False)
            files.change(many, files, table, api_name="photos")
        with gradio.Tab("For programs"):
            gradio.Markdown(
                "A list in JSON, with the most probable classes of each photo:\n\n```\n"
                f"curl -F photos=@a.jpg -F photos=@b.jpg http://ADDRESS-OF-THIS-PAGE{ADDRESS}\n```"
            )
    return page


def _best(answer: Answer) -> tuple[str, str]:
    if answer.picture is None:
        return UNREADABLE, ""
    best = answer.predictions[0]
    return str(best["class"]), f"{float(str(best['probability'])):.1%}"


def serve(app: Any, host: str, port: int, ready: Callable[[], None]) -> None:
    """Serves an application until Ctrl-C.

    Args:
      app: see `application`.
      host: the address of this machine to listen at.
      port: to listen at.
      ready: called when the page can be opened.
    """
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            if self.started:
                ready()

    Server(uvicorn.Config(app, host=host, port=port, log_level="warning")).run()

"""Self-contained HTML pages: all text is escaped, images are embedded, nothing is fetched."""

import base64
import functools
import io
from typing import Any

import jinja2
import matplotlib as mpl
import numpy as np
import PIL.Image
from matplotlib.figure import Figure


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("efficientnet.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["count"] = "{:,}".format
    return environment


def render(template: str, **values: Any) -> bytes:
    """Renders a template in `templates/` with these values; returns the encoded page."""
    text = _environment().get_template(template).render(values)
    # File names may have bytes that are not text.
    return text.encode("utf-8", "backslashreplace")


def drawing(figure: Figure) -> str:
    """Returns a figure as vector graphics in a data URL, for `src`."""
    content = io.BytesIO()
    # Equal figures give equal bytes.
    with mpl.rc_context({"svg.hashsalt": "efficientnet"}):
        figure.savefig(content, format="svg", metadata={"Date": None})
    return _address("image/svg+xml", content.getvalue())


def photo(pixels: np.ndarray) -> str:
    """Returns uint8 pixels [height, width, channels] in a data URL, for `src`."""
    content = io.BytesIO()
    PIL.Image.fromarray(pixels.squeeze()).save(content, format="JPEG", quality=88)
    return _address("image/jpeg", content.getvalue())


def _address(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"

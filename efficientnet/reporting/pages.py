"""Self-contained HTML pages: every text is escaped, every picture is inside, nothing is fetched."""

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
    """Returns the page that a file of `templates/` makes of these values, encoded."""
    text = _environment().get_template(template).render(values)
    # File names may have bytes that are no text.
    return text.encode("utf-8", "backslashreplace")


def drawing(figure: Figure) -> str:
    """Returns the address, for `src`, of a figure as vector graphics."""
    content = io.BytesIO()
    # The same figure gives the same bytes.
    with mpl.rc_context({"svg.hashsalt": "efficientnet"}):
        figure.savefig(content, format="svg", metadata={"Date": None})
    return _address("image/svg+xml", content.getvalue())


def photo(pixels: np.ndarray) -> str:
    """Returns the address, for `src`, of uint8 pixels [height, width, channels]."""
    content = io.BytesIO()
    PIL.Image.fromarray(pixels.squeeze()).save(content, format="JPEG", quality=88)
    return _address("image/jpeg", content.getvalue())


def _address(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"

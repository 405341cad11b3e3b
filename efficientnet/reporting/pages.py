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

from efficientnet.paths import printable


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("efficientnet.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_in_one_line,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["count"] = "{:,}".format
    return environment


def _in_one_line(value: Any) -> Any:
    """Returns text as a page shows it; markup stays as it is."""
    is_text = isinstance(value, str) and not hasattr(value, "__html__")
    return printable(value) if is_text else value


def render(template: str, **values: Any) -> bytes:
    """Renders a template in `templates/` with these values; returns the encoded page."""
    return _environment().get_template(template).render(values).encode()


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

"""Self-contained HTML pages: every text is escaped, every picture is inside, nothing is fetched."""

import base64
import io
from collections.abc import Iterable, Sequence
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import PIL.Image
from matplotlib.figure import Figure

Element = ElementTree.Element
Child = str | Element

STYLE = """
:root { color-scheme: light; --ink: #1d2430; --soft: #667085; --line: #e4e7ec; --tint: #f7f8fa; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 2rem 1.25rem 5rem; background: #fff;
  color: var(--ink); font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { margin: 0; font-size: 1.75rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin: 3rem 0 .75rem; padding-top: .75rem; border-top: 1px solid var(--line);
  font-size: 1.15rem; }
h3 { margin: 0 0 .5rem; font-size: 1rem; }
.scroll + h3 { margin-top: 1.5rem; }
p { margin: .75rem 0; max-width: 46rem; }
.soft, figcaption { color: var(--soft); }
.tiles { display: grid; gap: .75rem; margin: 1.5rem 0 0; padding: 0;
  grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); }
.tiles > div { padding: .8rem 1rem; border-radius: 8px; background: var(--tint); }
.tiles dt { color: var(--soft); font-size: .85rem; }
.tiles dd { margin: 0; font-size: 1.5rem; font-weight: 600; line-height: 1.3; }
.tiles small { display: block; color: var(--soft); font-size: .8rem; font-weight: 400; }
.columns { display: grid; gap: 1.5rem 2rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); }
.columns > * { min-width: 0; }
img { display: block; max-width: 100%; height: auto; }
.scroll { overflow: auto; max-height: 30rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .9rem .35rem 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; }
th { position: sticky; top: 0; background: #fff; color: var(--soft); font-size: .85rem;
  font-weight: 500; vertical-align: bottom; }
td { overflow-wrap: break-word; }
.number { text-align: right; white-space: nowrap; }
.photos { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); }
figure { margin: 0; }
.photos img { width: 100%; border-radius: 6px; background: var(--tint); }
figcaption { margin-top: .3rem; font-size: .8rem; line-height: 1.35; overflow-wrap: anywhere; }
figcaption b { display: block; color: var(--ink); font-weight: 600; }
details { margin: .75rem 0; }
summary { cursor: pointer; }
pre { overflow: auto; padding: 1rem; border-radius: 8px; background: var(--tint);
  font-size: .8rem; line-height: 1.45; }
"""
# Forbids every request, should a page ever contain one.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def tag(kind: str, /, *children: Child, **attributes: str) -> Element:
    """Returns an element; `class_` stands for the attribute `class`, and `a_b` for `a-b`."""
    made = Element(
        kind, {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}
    )
    last: Element | None = None
    for child in children:
        if isinstance(child, Element):
            made.append(child)
            last = child
        elif last is None:
            made.text = (made.text or "") + child
        else:
            last.tail = (last.tail or "") + child
    return made


def page(title: str, *body: Element) -> bytes:
    """Returns a whole page, encoded."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", STYLE),
    )
    html = tag("html", head, tag("body", *body), lang="en")
    text = ElementTree.tostring(html, encoding="unicode", method="html")
    # File names may have bytes that are no text.
    return f"<!doctype html>\n{text}\n".encode("utf-8", "backslashreplace")


def section(title: str, *children: Element) -> Element:
    """Returns a section with its heading."""
    return tag("section", tag("h2", title), *children)


def columns(*children: Element) -> Element:
    """Returns children side by side where there is room."""
    return tag("div", *children, class_="columns")


def table(header: Sequence[str], rows: Iterable[Sequence[str]], texts: Sequence[int]) -> Element:
    """Returns a table that scrolls.

    Args:
      header: a title for each column.
      rows: as many cells each.
      texts: the columns that hold text; all others hold numbers.
    """

    def cells(kind: str, row: Sequence[str]) -> list[Element]:
        return [
            tag(kind, cell) if column in texts else tag(kind, cell, class_="number")
            for column, cell in enumerate(row)
        ]

    lines = [tag("tr", *cells("td", row)) for row in rows]
    head = tag("thead", tag("tr", *cells("th", header)))
    return tag("div", tag("table", head, tag("tbody", *lines)), class_="scroll", tabindex="0")


def tiles(values: Sequence[tuple[str, str, str]]) -> Element:
    """Returns figures that stand out: (what, value, what to know about it)."""
    return tag(
        "dl",
        *(
            tag("div", tag("dt", what), tag("dd", value, tag("small", note)))
            for what, value, note in values
        ),
        class_="tiles",
    )


def drawing(figure: Figure, text: str) -> Element:
    """Returns a figure as vector graphics; the text stands for it where it can't be seen."""
    content = io.BytesIO()
    # The same figure gives the same bytes.
    with mpl.rc_context({"svg.hashsalt": "efficientnet"}):
        figure.savefig(content, format="svg", metadata={"Date": None})
    return tag("img", src=_uri("image/svg+xml", content.getvalue()), alt=text)


def photo(pixels: np.ndarray, text: str) -> Element:
    """Returns uint8 pixels [height, width, channels] as a picture."""
    content = io.BytesIO()
    PIL.Image.fromarray(pixels.squeeze()).save(content, format="JPEG", quality=88)
    return tag("img", src=_uri("image/jpeg", content.getvalue()), alt=text)


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"

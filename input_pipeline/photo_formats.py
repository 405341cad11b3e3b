"""The formats of photos: how their files end and begin, and what they need beyond the default."""

import dataclasses
import importlib.util
import re


@dataclasses.dataclass(frozen=True)
class PhotoFormat:
    """A format that can be decoded.

    Attributes:
      name: as Pillow calls it.
      endings: of its files' names, in lower case.
      begins: how its files begin, a regular expression.
      package: that decodes it, if it does not come with the others.
      extra: of pyproject.toml, with that package.
    """

    name: str
    endings: tuple[str, ...]
    begins: bytes
    package: str = ""
    extra: str = ""

    def missing(self) -> str:
        """Returns how to install what it needs; '' if that is there."""
        if not self.package or importlib.util.find_spec(self.package.replace("-", "_")):
            return ""
        return f"needs {self.package}: pip install '.[{self.extra}]'"


FORMATS = (
    PhotoFormat("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), rb"\xff\xd8\xff"),
    PhotoFormat("PNG", (".png",), rb"\x89PNG\r\n"),
    PhotoFormat("GIF", (".gif",), rb"GIF8"),
    PhotoFormat("WEBP", (".webp",), rb"RIFF.{4}WEBP"),
    PhotoFormat("BMP", (".bmp",), rb"BM"),
    PhotoFormat("TIFF", (".tif", ".tiff"), rb"II[*+]\0|MM\0[*+]"),
    PhotoFormat("PPM", (".ppm", ".pgm", ".pbm", ".pnm"), rb"P[1-6]\s"),
    PhotoFormat("JPEG2000", (".jp2", ".j2k"), rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"),
    # AVIF may also call itself the kind of HEIF that it is.
    PhotoFormat("AVIF", (".avif",), rb".{4}ftyp(.{4})*?avi[fs]"),
    PhotoFormat(
        "HEIF",
        (".heic", ".heif", ".hif"),
        rb".{4}ftyp(hei[cxms]|hev[cxms]|mif1|msf1)",
        "pillow-heif",
        "heic",
    ),
)

# Of the formats that can be read here; and of the others, with what is missing.
READABLE = frozenset(e for form in FORMATS if not form.missing() for e in form.endings)
MISSING = {e: missing for form in FORMATS if (missing := form.missing()) for e in form.endings}


def find(encoded: bytes) -> PhotoFormat | None:
    """Returns the format of a photo by how it begins, whatever its name; None if it is none."""
    start = encoded[:64]
    return next((form for form in FORMATS if re.match(form.begins, start, re.DOTALL)), None)

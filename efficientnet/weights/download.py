"""The official archives by word and variant, and their download into the cache.

A download resumes where it broke off, is checked, and appears in the cache whole or not at all. The
cache is on a disk of this machine, never in a bucket.
"""

import dataclasses
import http.client
import pathlib
import urllib.error
import urllib.request

import tqdm
from etils import epath

from efficientnet.errors import UserError
from efficientnet.paths import cache_directory
from efficientnet.weights import integrity

ATTEMPTS = 3  # each resumes where the one before broke off
TIMEOUT_SECONDS = 30
CHUNK_BYTES = 1 << 18
RANGE_NOT_SATISFIABLE = 416

ROOT = "https://storage.googleapis.com/cloud-tpu-checkpoints/efficientnet"
_B = tuple(f"b{i}" for i in range(9))

# word: (folder, file name with {variant} in it, variants), from the tables in the READMEs of the
# TPU reference implementation (models/official/efficientnet).
ARCHIVES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "noisy_student": (
        "noisystudent",
        "noisy_student_efficientnet-{variant}.tar.gz",
        (*_B[:8], "l2_475", "l2"),
    ),
    "imagenet": ("ckpts", "efficientnet-{variant}.tar.gz", _B[:6]),
    "autoaugment": ("ckptsaug", "efficientnet-{variant}.tar.gz", _B[:8]),
    "randaugment": ("randaug", "efficientnet-{variant}-randaug.tar.gz", ("b5", "b7", "b8")),
    "advprop": ("advprop", "efficientnet-{variant}.tar.gz", _B),
    "lite": ("lite", "efficientnet-{variant}.tar.gz", tuple(f"lite{i}" for i in range(5))),
}


@dataclasses.dataclass(frozen=True)
class Download:
    """One archive.

    Attributes:
      word: what users call the family.
      variant: which network is in it.
      url: where it is.
    """

    word: str
    variant: str
    url: str

    @property
    def file_name(self) -> str:
        """Its path below the cache directory, where each word has a folder."""
        return f"{self.word}/{self.url.rsplit('/', 1)[-1]}"


DOWNLOADS = {
    (word, variant): Download(word, variant, f"{ROOT}/{folder}/{file.format(variant=variant)}")
    for word, (folder, file, variants) in ARCHIVES.items()
    for variant in variants
}


def find(word: str, variant: str | None) -> Download:
    """Returns the archive for a word and a variant.

    Raises:
      UserError: there is none; the message lists what there is.
    """
    variants = ARCHIVES[word][2]
    if variant is None:
        raise UserError(f"the weights {word} need a variant: one of {', '.join(variants)}")
    if (word, variant) not in DOWNLOADS:
        raise UserError(
            f"there are no {word} weights for {variant!r}: expected one of {', '.join(variants)}"
        )
    return DOWNLOADS[word, variant]


def fetch(download: Download) -> epath.Path:
    """Returns the archive's path in the cache, after downloading it if it isn't there.

    The digest of the first download is recorded and checked from then on.

    Raises:
      UserError: the download failed, with the URL and where to put the file; or the digest differs.
    """
    path = cache_directory() / download.file_name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        _download(download.url, part, path)
        part.replace(path)
    archive = epath.Path(path)
    if not integrity.check(archive):
        integrity.record(archive, integrity.digest_of(archive))
    return archive


def _download(url: str, part: pathlib.Path, path: pathlib.Path) -> None:
    """Downloads to `part`, resuming after what is already there."""
    reason = ""
    for _ in range(ATTEMPTS):
        try:
            if _transfer(url, part):
                return
            reason = "the connection broke off"
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == RANGE_NOT_SATISFIABLE and part.exists():
                part.unlink()  # longer than the file, so not a part of it
                continue
            raise UserError(
                f"{url} answers {error.code} {error.reason}: get the file from elsewhere and put "
                f"it at {path}"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            reason = str(error)
    have = f"; {part.stat().st_size} bytes are kept for next time" if part.exists() else ""
    raise UserError(
        f"can't download {url} ({reason}){have}: try again, or get it elsewhere and put it at "
        f"{path}"
    )


def _transfer(url: str, part: pathlib.Path) -> bool:
    """Requests what is missing. Returns whether the file is complete."""
    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
        if response.status != http.client.PARTIAL_CONTENT:
            start = 0  # the server sends everything again
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdigit() else None
        name = url.rsplit("/", 1)[-1]
        with (
            part.open("ab" if start else "wb") as file,
            tqdm.tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=name) as progress,
        ):
            while chunk := response.read(CHUNK_BYTES):
                file.write(chunk)
                progress.update(len(chunk))
    return total is None or part.stat().st_size == total

"""Weights that are published as single files, by word and variant, and their download.

A download resumes where it broke off, is checked, and appears in the cache whole or not at all. The
cache is on a disk of this machine, never in a bucket.
"""

import dataclasses
import http.client
import pathlib
import urllib.error
import urllib.request
from collections.abc import Iterator

import tqdm
from etils import epath

from efficientnet.errors import UserError
from efficientnet.paths import cache_directory
from efficientnet.weights import integrity

ATTEMPTS = 3  # each resumes where the one before broke off
TIMEOUT_SECONDS = 30
CHUNK_BYTES = 1 << 18
RANGE_NOT_SATISFIABLE = 416

GOOGLE = "https://storage.googleapis.com/cloud-tpu-checkpoints/efficientnet"
KERAS = "https://storage.googleapis.com/keras-applications"
TORCHVISION = "https://download.pytorch.org/models"
# Licenses of the code that publishes the weights; none of them states another one for these.
GOOGLE_LICENSE = "Apache-2.0, as github.com/tensorflow/tpu"
KERAS_LICENSE = "Apache-2.0, as github.com/keras-team/keras"
TORCHVISION_LICENSE = "BSD-3-Clause, as github.com/pytorch/vision"

_B = tuple(f"b{i}" for i in range(9))

# word: (folder, file name with {variant} in it, variants, tag of timm's copy), from the tables in
# the READMEs of the TPU reference implementation (models/official/efficientnet), and timm's names.
ARCHIVES: dict[str, tuple[str, str, tuple[str, ...], str]] = {
    "noisy_student": (
        "noisystudent",
        "noisy_student_efficientnet-{variant}.tar.gz",
        (*_B[:8], "l2_475", "l2"),
        "ns_jft_in1k",
    ),
    "imagenet": ("ckpts", "efficientnet-{variant}.tar.gz", _B[:6], "in1k"),
    "autoaugment": ("ckptsaug", "efficientnet-{variant}.tar.gz", _B[:8], "aa_in1k"),
    "randaugment": (
        "randaug",
        "efficientnet-{variant}-randaug.tar.gz",
        ("b5", "b7", "b8"),
        "ra_in1k",
    ),
    "advprop": ("advprop", "efficientnet-{variant}.tar.gz", _B, "ap_in1k"),
    "lite": ("lite", "efficientnet-{variant}.tar.gz", tuple(f"lite{i}" for i in range(5)), "in1k"),
}
# MD5 of efficientnetb0.h5 ..., from keras/src/applications/efficientnet.py.
KERAS_MD5 = {
    "b0": "902e53a9f72be733fc0bcb005b3ebbac",
    "b1": "1d254153d4ab51201f1646940f018540",
    "b2": "b15cce36ff4dcbd00b6dd88e7857a6ad",
    "b3": "ffd1fdc53d0ce67064dc6a9c7960ede0",
    "b4": "18c95ad55216b8f92d7e70b3a046e2fc",
    "b5": "ace28f2a6363774853a83a0b21b9421a",
    "b6": "165f6e37dce68623721b423839de8be5",
    "b7": "8c03f828fec3ef71311cd463b6759d99",
}
# From torchvision/models/efficientnet.py; a name ends in the beginning of the file's SHA-256.
TORCHVISION_FILES = {
    "b0": "efficientnet_b0_rwightman-7f5810bc.pth",
    "b1": "efficientnet_b1-c27df63c.pth",
    "b2": "efficientnet_b2_rwightman-c35c1473.pth",
    "b3": "efficientnet_b3_rwightman-b3899882.pth",
    "b4": "efficientnet_b4_rwightman-23ab8bcd.pth",
    "b5": "efficientnet_b5_lukemelas-1a07897c.pth",
    "b6": "efficientnet_b6_lukemelas-24a108a5.pth",
    "b7": "efficientnet_b7_lukemelas-c5b4e57e.pth",
}


@dataclasses.dataclass(frozen=True)
class Download:
    """One file.

    Attributes:
      word: what users call the family.
      variant: which network is in it.
      url: where it is.
      license: of the weights.
      copy: the same weights in a repository of the Hugging Face Hub; '' if there are none.
      md5: its MD5; '' if its publisher gives none.
    """

    word: str
    variant: str
    url: str
    license: str = ""
    copy: str = ""
    md5: str = ""

    @property
    def path(self) -> pathlib.Path:
        """Where it is in the cache, whose folders are called by the words."""
        return cache_directory() / self.word / self.url.rsplit("/", 1)[-1]


def _every() -> Iterator[Download]:
    for word, (folder, file, variants, tag) in ARCHIVES.items():
        for variant in variants:
            # timm counts the variants of L2 as two kinds of weights for one network.
            name, _, resolution = variant.partition("_")
            yield Download(
                word,
                variant,
                f"{GOOGLE}/{folder}/{file.format(variant=variant)}",
                GOOGLE_LICENSE,
                f"hf:timm/tf_efficientnet_{name}.{tag}{resolution and '_' + resolution}",
            )
    for variant, md5 in KERAS_MD5.items():
        url = f"{KERAS}/efficientnet{variant}.h5"
        yield Download("keras", variant, url, KERAS_LICENSE, md5=md5)
    for variant, file in TORCHVISION_FILES.items():
        yield Download("torchvision", variant, f"{TORCHVISION}/{file}", TORCHVISION_LICENSE)


DOWNLOADS = {(entry.word, entry.variant): entry for entry in _every()}
WORDS = tuple(dict.fromkeys(word for word, _ in DOWNLOADS))


def find(word: str, variant: str | None) -> Download:
    """Returns the file for a word and a variant.

    Raises:
      UserError: there is none; the message lists what there is.
    """
    variants = [known for other, known in DOWNLOADS if other == word]
    if variant is None:
        raise UserError(f"the weights {word} need a variant: one of {', '.join(variants)}")
    if (word, variant) not in DOWNLOADS:
        raise UserError(
            f"there are no {word} weights for {variant!r}: expected one of {', '.join(variants)}"
        )
    return DOWNLOADS[word, variant]


def fetch(download: Download) -> epath.Path:
    """Returns the file's path in the cache, after downloading it if it isn't there.

    The SHA-256 of the first download is recorded and checked from then on.

    Raises:
      UserError: the download failed, with the URL and where to put the file; or a digest differs.
    """
    path = download.path
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        _download(download.url, part, path)
        part.replace(path)
    file = epath.Path(path)
    digest = integrity.check(file)
    if integrity.recorded(file) is None:
        if download.md5:
            integrity.check_md5(file, download.md5, download.url)
        integrity.record(file, digest or integrity.digest_of(file))
    return file


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

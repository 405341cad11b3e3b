"""Every official archive by the word that users say and the variant."""

import dataclasses

from efficientnet.errors import UserError

ROOT = "https://storage.googleapis.com/cloud-tpu-checkpoints/efficientnet"
_B = tuple(f"b{i}" for i in range(9))

# word: (folder, file name with {variant} in it, variants), from the tables in the READMEs of the
# TPU reference implementation (models/official/efficientnet).
FAMILIES: dict[str, tuple[str, str, tuple[str, ...]]] = {
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
      digest: SHA-256 in hexadecimal where it is known; else the first download's is kept.
    """

    word: str
    variant: str
    url: str
    digest: str | None = None

    @property
    def file_name(self) -> str:
        """Its place below the cache directory: families use the same file names."""
        return f"{self.word}/{self.url.rsplit('/', 1)[-1]}"


DOWNLOADS = {
    (word, variant): Download(word, variant, f"{ROOT}/{folder}/{file.format(variant=variant)}")
    for word, (folder, file, variants) in FAMILIES.items()
    for variant in variants
}


def find(word: str, variant: str | None) -> Download:
    """Returns the archive for a word and a variant.

    Raises:
      UserError: there is none; with what there is.
    """
    variants = FAMILIES[word][2]
    if variant is None:
        raise UserError(f"the weights {word} need a variant: one of {', '.join(variants)}")
    if (word, variant) not in DOWNLOADS:
        raise UserError(
            f"there are no {word} weights for {variant!r}: expected one of {', '.join(variants)}"
        )
    return DOWNLOADS[word, variant]

"""Repositories of the Hugging Face Hub: `hf:OWNER/NAME[@REVISION][/PATH]`.

huggingface_hub does the work. Its own environment variables say where the Hub (HF_ENDPOINT), its
cache (HF_HOME, HF_HUB_CACHE) and the token (HF_TOKEN) are, and whether there is a network
(HF_HUB_OFFLINE). Downloads that broke off are resumed.
"""

import contextlib
import dataclasses
import errno
import glob
import logging
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import tqdm

from efficientnet.errors import UserError

log = logging.getLogger(__name__)

PREFIX = "hf:"
MODEL, DATASET = "model", "dataset"
CARD = "README.md"
WORDS = {MODEL: "model", DATASET: "data set"}
_REFERENCE = re.compile(
    PREFIX + r"(?P<repository>\w[\w.-]*/[\w.-]+)"
    r"(@(?P<revision>refs/(convert|pr)/[\w.-]+|[^/@]+))?(/(?P<path>.+))?"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
UNAUTHORIZED, FORBIDDEN = 401, 403


@dataclasses.dataclass(frozen=True)
class Reference:
    """A place in a repository.

    Attributes:
      kind: of the repository, `MODEL` or `DATASET`.
      repository: 'OWNER/NAME'.
      revision: a commit, branch or tag; '' for the main branch.
      path: of a file or folder in it; '' for all of it.
    """

    kind: str
    repository: str
    revision: str = ""
    path: str = ""

    def __str__(self) -> str:
        revision, path = self.revision and f"@{self.revision}", self.path and f"/{self.path}"
        return f"{PREFIX}{self.repository}{revision}{path}"

    @property
    def pinned(self) -> bool:
        """Whether it always means the same files."""
        return _COMMIT.fullmatch(self.revision) is not None

    def pins(self, other: "Reference") -> bool:
        """Whether it is what another reference, which is not pinned, once stood for."""
        loose = dataclasses.replace(self, revision=other.revision)
        return self.pinned and not other.pinned and loose == other


def parse(text: str, kind: str) -> Reference:
    """Returns what a text such as 'hf:timm/tf_efficientnet_b0.ns_jft_in1k' refers to.

    Raises:
      UserError: it refers to nothing.
    """
    found = _REFERENCE.fullmatch(text)
    if not found:
        raise UserError(
            f"{text!r} names no {WORDS[kind]} of the Hugging Face Hub: expected hf:OWNER/NAME, "
            "hf:OWNER/NAME@REVISION or either with /PATH behind it"
        )
    return Reference(kind, *(found[name] or "" for name in ("repository", "revision", "path")))


def pin(reference: Reference, cached: bool = False) -> Reference:
    """Returns a reference with the commit for which it stands now, or stood when last asked.

    Args:
      reference: any.
      cached: whether to ask the cache alone.

    Raises:
      UserError: see `fetch`.
    """
    if reference.pinned:
        return reference
    folder = fetch(reference, [CARD], cached, quiet=True)
    return dataclasses.replace(reference, revision=folder.name)


def fetch(
    reference: Reference, patterns: Sequence[str], cached: bool = False, quiet: bool = False
) -> pathlib.Path:
    """Downloads what is not in the cache yet.

    Args:
      reference: to a repository; its path is not used.
      patterns: of the files, as in `fnmatch`; '*' matches '/' too.
      cached: whether to take only what is in the cache.
      quiet: whether to show no progress, as of small files.

    Returns:
      The folder with the repository's files, whose name is the commit.

    Raises:
      UserError: there is no such repository or revision, it can't be read or reached, or
        huggingface_hub is not installed.
    """
    hub = _library(reference)
    with _explained(reference):
        folder = hub.snapshot_download(
            reference.repository,
            repo_type=reference.kind,
            revision=reference.revision or None,
            allow_patterns=list(patterns),
            # Said here, as before 2.4 it would look for the list of a commit's files first.
            local_files_only=cached or hub.constants.HF_HUB_OFFLINE,
            tqdm_class=_Silent if quiet else None,
        )
    return pathlib.Path(folder)


def literal(name: str) -> str:
    """Returns the pattern of one file alone."""
    return glob.escape(name)


def names(reference: Reference, cached: bool = False) -> list[str]:
    """Returns the paths of all files at a pinned reference, also of those not downloaded.

    Without a network, only those in the cache may be known.

    Raises:
      UserError: see `fetch`.
    """
    hub = _library(reference)
    folder = fetch(reference, [CARD], cached, quiet=True)  # which keeps the list, from the Hub
    try:
        tree = hub.get_cached_repo_tree(
            reference.repository, repo_type=reference.kind, revision=reference.revision
        )
    except hub.errors.CachedRepoTreeNotFoundError:  # another program has downloaded them
        there = (path for path in folder.rglob("*") if path.is_file())
        return sorted(path.relative_to(folder).as_posix() for path in there)
    return sorted(file.path for file in tree)


def digest_of(file: pathlib.Path) -> str:
    """Returns the SHA-256 that the Hub states of a large file in the cache; '' if unknown."""
    blob = file.resolve().name
    return blob if _SHA256.fullmatch(blob) else ""


def card(reference: Reference) -> dict[str, Any]:
    """Returns the metadata at the head of a repository's README.md; {} without any.

    Raises:
      UserError: see `fetch`.
    """
    hub = _library(reference)
    path = fetch(reference, [CARD], quiet=True) / CARD
    if not path.is_file():
        return {}
    import yaml

    try:
        return hub.metadata_load(path) or {}
    except (ValueError, yaml.YAMLError) as error:
        log.warning("the metadata in the README.md of %s can't be read: %s", reference, error)
        return {}


def license_of(reference: Reference) -> str:
    """Returns the license that a repository's card states; '' if it states none."""
    stated = card(reference)
    name, other = stated.get("license"), stated.get("license_name")
    if isinstance(name, list):
        name = ", ".join(map(str, name))
    return str(other if name == "other" and other else name or "")


def _library(reference: Reference) -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise UserError(f"{reference} needs huggingface_hub: pip install '.[hub]'") from None
    for client in ("httpx", "httpx2"):  # else every request is logged
        logging.getLogger(client).setLevel(logging.WARNING)
    return huggingface_hub


class _Silent(tqdm.tqdm):
    """A progress bar that is not shown."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "disable": True})


@contextlib.contextmanager
def _explained(reference: Reference) -> Iterator[None]:
    """Turns the errors of huggingface_hub into a sentence."""
    from huggingface_hub import constants, errors

    # That of httpx or, from version 2 on, of httpx2.
    http_error = errors.HTTPError  # type: ignore[attr-defined, unused-ignore]
    try:
        yield
    except (http_error, errors.EntryNotFoundError, errors.HFValidationError) as error:
        raise UserError(_sentence(reference, error, constants.ENDPOINT)) from error
    except OSError as error:
        if error.errno is None:  # of huggingface_hub
            raise UserError(_sentence(reference, error, constants.ENDPOINT)) from error
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        raise UserError(
            f"{reference} can't be kept in {constants.HF_HUB_CACHE} ({error.strerror}): make room, "
            "or set HF_HOME to another folder"
        ) from error


def _sentence(reference: Reference, error: Exception, endpoint: str) -> str:
    from huggingface_hub import constants, errors

    what = f"the {WORDS[reference.kind]} {reference.repository}"
    # What is missing in the cache, because of what happened on the way to the Hub.
    cause = error.__cause__ if isinstance(error, errors.LocalEntryNotFoundError) else error
    login = "log in by `hf auth login` or set HF_TOKEN"
    response = getattr(cause, "response", None)
    status = response.status_code if response is not None else 0
    if isinstance(cause, errors.GatedRepoError):
        page = f"{endpoint}/{'datasets/' * (reference.kind == DATASET)}{reference.repository}"
        return f"{what} is gated: accept its terms at {page} and {login}"
    if isinstance(cause, errors.RepositoryNotFoundError):
        return (
            f"{endpoint} knows no {WORDS[reference.kind]} {reference.repository}, or shows it to "
            f"some accounts only: check the name, or {login}"
        )
    if isinstance(cause, errors.RevisionNotFoundError):
        return f"{what} has no revision {reference.revision!r}: check the name behind the @"
    if status in (UNAUTHORIZED, FORBIDDEN):
        return f"{endpoint} refuses access to {what} ({status}): {login} with access to it"
    if isinstance(cause, errors.HFValidationError):
        return f"{reference} is no name on the Hugging Face Hub: {_line(cause)}"
    partly = isinstance(error, errors.IncompleteSnapshotError)
    kept = f"is {'only partly' if partly else 'not'} in the cache {constants.HF_HUB_CACHE}"
    if constants.HF_HUB_OFFLINE:
        return f"{what} {kept}, and HF_HUB_OFFLINE is set: download it first, without that"
    reason = _line(cause) if cause else "the cache alone was asked"
    return (
        f"{what} can't be downloaded from {endpoint} ({reason}), and {kept}: try again, set "
        "HF_ENDPOINT to a mirror, or get the files elsewhere and give their path"
    )


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]

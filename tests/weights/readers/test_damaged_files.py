"""A thousand damaged files: each loads exactly or fails with one sentence."""

import pathlib
import resource
import signal

import numpy as np
import pytest
from checkpoint_files import WRITERS, leaves
from etils import epath

from efficientnet import weights
from efficientnet.errors import UserError
from efficientnet.weights import integrity

pytestmark = pytest.mark.usefixtures("tiny")

FILES_PER_FORMAT = 100
SECONDS_PER_FORMAT = 120
CLEAR_REFS = pathlib.Path("/proc/self/clear_refs")
HEADER_BYTES = 4096  # where the structure is densest
# These formats have no checksum: without a digest beside the file, other values may load.
UNGUARDED = ("lukemelas-old", "timm", "keras-h5", "keras-weights", "keras-numbered")
CASES = [(form, True) for form in WRITERS] + [(form, False) for form in UNGUARDED]


class TooSlowError(BaseException):
    """Not an `Exception`, so that no reader takes it for damage."""


@pytest.fixture
def alarm():
    def ring(number, frame):
        raise TooSlowError

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(SECONDS_PER_FORMAT)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """Cuts off, flips bits, overwrites, inserts or removes."""
    damaged = bytearray(content)
    place = int(rng.integers(len(damaged)))
    if rng.random() < 0.5:
        place %= HEADER_BYTES
    length = int(rng.integers(1, 64))
    match rng.integers(6):
        case 0:
            del damaged[place:]
        case 1:
            damaged[place] ^= 1 << int(rng.integers(8))
        case 2:
            for other in rng.integers(len(damaged), size=20):
                damaged[other] ^= 1 << int(rng.integers(8))
        case 3:
            damaged[place : place + length] = bytes([int(rng.choice([0, 255]))]) * length
        case 4:
            damaged[place:place] = rng.bytes(length)
        case 5:
            del damaged[place : place + length]
    return bytes(damaged)


def peak_kibibytes(anew=False):
    """The most memory this process ever had, or, where Linux allows it, since `anew`."""
    if anew and CLEAR_REFS.exists():
        CLEAR_REFS.write_text("5")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def outcome(path, expected):
    """'refused', 'exact' or 'other', whatever was done to the file."""
    try:
        pretrained = weights.load_pretrained(str(path))
    except UserError as error:
        message = str(error)
    else:
        return "exact" if are_equal(pretrained, expected) else "other"
    assert path.name in message
    assert "\n" not in message
    return "refused"


def are_equal(pretrained, expected):
    found = {
        (collection, layer, leaf): array
        for collection in ("params", "batch_stats")
        for layer, arrays in getattr(pretrained, collection).items()
        for leaf, array in arrays.items()
    }
    if not pretrained.num_classes:  # a damaged name or shape can make it another classifier
        expected = {path: leaf for path, leaf in expected.items() if path[1] != "predictions"}
    assert found.keys() == expected.keys()
    assert all(np.isfinite(array).all() for array in found.values())
    same = all(np.array_equal(found[leaf], array) for leaf, array in expected.items())
    return same and pretrained.num_classes > 0


def test_there_are_a_thousand():
    assert len(CASES) * FILES_PER_FORMAT >= 1000
    assert {form for form, _ in CASES} == set(WRITERS)


def test_the_peak_is_measured():
    before = peak_kibibytes(anew=True)
    np.ones(64 << 20, np.uint8)
    assert peak_kibibytes() - before > 32 << 10


@pytest.mark.parametrize(("form", "guarded"), CASES)
def test_damaged_files(form, guarded, tmp_path, alarm):
    rng = np.random.default_rng([CASES.index((form, guarded))])
    expected = leaves()
    path = WRITERS[form](tmp_path)
    files = [path] if path.is_file() else sorted(path.glob("model.ckpt*"))
    contents = [file.read_bytes() for file in files]
    if guarded and form in UNGUARDED:
        integrity.record(epath.Path(path), integrity.digest_of(epath.Path(path)))
    before = peak_kibibytes(anew=True)
    outcomes = []
    for _ in range(FILES_PER_FORMAT):
        index = int(rng.integers(len(files)))
        files[index].unlink()  # never change what an earlier load still maps
        files[index].write_bytes(mutate(contents[index], rng))
        outcomes.append(outcome(path, expected))
        files[index].unlink()
        files[index].write_bytes(contents[index])
    assert peak_kibibytes() - before < 1 << 20
    assert "refused" in outcomes
    if guarded:
        assert "other" not in outcomes
    assert outcome(path, expected) == "exact"

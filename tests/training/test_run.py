"""A run remembers its id, and each of its starts."""

import dataclasses
import pathlib

import made_up
import pytest
from etils import epath

from efficientnet.records import SplitIdentity
from efficientnet.reporting import runs
from efficientnet.runtime import provenance
from efficientnet.training import run as training


def test_a_run_keeps_its_id_and_says_what_has_changed(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder, network = epath.Path(tmp_path), made_up.network(("cat", "dog"))
    here = dataclasses.replace(provenance.environment(), commit="abc", clean=True)
    packages = {f"package{number}": "2" for number in range(5)}
    other = dataclasses.replace(here, commit="def", packages=here.packages | packages)
    found = []
    for place in (here, here, other):
        monkeypatch.setattr(provenance, "environment", lambda place=place: place)
        with caplog.at_level("INFO", training.__name__):
            found.append(training._note_start(folder, network))
        assert runs.read_provenance(folder) == found[-1]
    assert len({origin.run_id for origin in found}) == 1
    assert [start.environment for start in found[-1].starts] == [0, 0, 1]
    assert found[-1].environments == (here, other)
    (message,) = caplog.messages
    assert message.startswith("this run goes on with commit def (before: commit abc), package0 2 ")
    assert message.endswith(", and 3 more changes")


def test_the_digest_is_of_classes_and_photos(tmp_path: pathlib.Path) -> None:
    train = {"train": SplitIdentity(photos=4, digest="a")}
    networks = (
        made_up.network(("cat", "dog"), train),
        made_up.network(("dog", "cat"), train),
        made_up.network(("cat", "dog"), {"train": SplitIdentity(photos=4, digest="b")}),
    )
    folder = epath.Path(tmp_path)
    digests = [training._note_start(folder, network).data_digest for network in networks]
    assert len(set(digests)) == 3
    assert training._note_start(folder, networks[0]).data_digest == digests[0]

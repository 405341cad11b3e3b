"""The loop that brings a TPU back, with a stand-in for gcloud that fails in every way."""

import os
import pathlib
import subprocess

import pytest

LOOP = pathlib.Path(__file__).resolve().parent.parent / "docs" / "cloud_tpu" / "keep_running.sh"
# Answers with the next line of the file of its verb, again and again with the last one.
STAND_IN = """#!/bin/bash
for verb in ls list create delete sleep; do [[ " $0 $* " =~ [\\ /]$verb\\  ]] && break; done
echo "$verb" >> calls
[ $verb = sleep ] && exit 0
answer=$(head -n 1 $verb)
[ $(wc -l < $verb) -gt 1 ] && sed -i 1d $verb
[ "$answer" = fails ] && exit 1
echo "$answer"
"""


@pytest.mark.parametrize(
    ("answers", "calls"),
    [
        pytest.param(
            {
                "ls": "fails fails fails done",
                "list": "none WAITING_FOR_RESOURCES ACTIVE ACTIVE none",
            },
            "ls list create sleep ls list sleep ls list sleep ls list delete sleep list",
            id="a run that is not interrupted",
        ),
        pytest.param(
            {"ls": "fails fails fails done", "list": "fails fails ACTIVE none"},
            "ls list sleep ls list sleep ls list sleep ls list",
            id="no answer: a machine that may be healthy stays",
        ),
        pytest.param(
            {"ls": "fails fails fails done", "list": "none", "create": "fails fails made"},
            "ls list create sleep ls list create sleep ls list create sleep ls list",
            id="a refused request: another one after a minute",
        ),
        pytest.param(
            {
                "ls": "fails fails fails fails done",
                "list": "ACTIVE SUSPENDING SUSPENDED none none",
                "delete": "done",
            },
            "ls list sleep ls list sleep ls list delete sleep ls list create sleep ls list",
            id="preempted: deleted, and requested again",
        ),
        pytest.param(
            {"ls": "fails fails done", "list": "FAILED FAILED none", "delete": "fails done"},
            "ls list delete sleep ls list delete sleep ls list",
            id="a request that has failed is deleted, at the second try",
        ),
        pytest.param(
            {"ls": "done", "list": "ACTIVE fails ACTIVE none", "delete": "fails"},
            "ls list delete sleep list delete sleep list delete sleep list",
            id="in the end nothing stays that costs money",
        ),
    ],
)
def test_the_loop(answers: dict[str, str], calls: str, tmp_path: pathlib.Path) -> None:
    for name in ("gcloud", "sleep"):
        (tmp_path / name).write_text(STAND_IN)
        (tmp_path / name).chmod(0o755)
    for verb in ("ls", "list", "create", "delete"):
        words = answers.get(verb, "done").split()
        (tmp_path / verb).write_text("".join(f"{word.replace('none', '')}\n" for word in words))
    environment = {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "BUCKET": "gs://bucket",
        "ZONE": "zone",
    }
    done = subprocess.run(
        [LOOP], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert not done.returncode
    assert not done.stderr
    assert (tmp_path / "calls").read_text().split() == calls.split()

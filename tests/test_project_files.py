"""The files that a public project has beside its code say what is true of the code."""

import pathlib
import re
import shlex

import yaml

import efficientnet

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
ENVIRONMENT = "python -m efficientnet.environment"


def test_the_workflow_runs_what_a_developer_runs() -> None:
    (path,) = (CHECKOUT / ".github" / "workflows").iterdir()
    jobs = yaml.safe_load(path.read_text())["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert commands == [".ci/run", "make PYTHON=python test-${{ matrix.end }}"]
    assert (CHECKOUT / ".ci" / "run").stat().st_mode & 0o100
    targets = re.findall(r"^([\w -]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
    for end in jobs["versions"]["strategy"]["matrix"]["end"]:
        assert f"test-{end}" in " ".join(targets).split()


def test_hooks_are_the_tools_of_make_lint() -> None:
    hooks = yaml.safe_load((CHECKOUT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    tools = {shlex.split(hook["entry"])[0].removeprefix(".venv/bin/") for hook in hooks}
    lint = (CHECKOUT / "Makefile").read_text().partition("\nlint:")[2]
    assert tools == set(re.findall(r"\$\(BIN\)/(\w+)", lint))


def test_whoever_reports_a_bug_is_asked_for_the_environment() -> None:
    form = yaml.safe_load((CHECKOUT / ".github" / "ISSUE_TEMPLATE" / "bug.yml").read_text())
    (asked,) = [
        field for field in form["body"] if ENVIRONMENT in field["attributes"].get("description", "")
    ]
    assert asked["validations"]["required"]


def test_citation_and_changelog_know_the_version() -> None:
    citation = yaml.safe_load((CHECKOUT / "CITATION.cff").read_text())
    assert citation["version"] == efficientnet.__version__
    assert f"\n## {efficientnet.__version__}\n" in (CHECKOUT / "CHANGELOG.md").read_text()

"""The ranges in pyproject.toml, and the exact versions in constraints.txt that lie in them."""

import pathlib
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
PINS = {
    canonicalize_name(name): version
    for name, _, version in (
        line.partition("==") for line in (CHECKOUT / "constraints.txt").read_text().splitlines()[1:]
    )
}
# Has no version that goes with the others.
UNPINNED = {"gradio"}


def is_exact(needed: Requirement) -> bool:
    return any(part.operator == "==" for part in needed.specifier)


def test_every_range_holds_the_version_that_is_tested() -> None:
    asked = [*PROJECT["dependencies"], *(name for names in EXTRAS.values() for name in names)]
    ranges = [needed for needed in map(Requirement, asked) if not is_exact(needed)]
    assert len(ranges) > 20
    for needed in ranges:
        if needed.name not in {PROJECT["name"], *UNPINNED}:
            assert needed.specifier.contains(PINS[canonicalize_name(needed.name)]), needed


def test_what_is_installed_by_default_has_a_lower_end_and_no_exact_version() -> None:
    for needed in map(Requirement, PROJECT["dependencies"]):
        assert not is_exact(needed), needed
        assert any(part.operator == ">=" for part in needed.specifier), needed

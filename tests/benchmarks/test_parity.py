"""The smallest network of each oracle that is installed; `benchmarks/parity.py` runs them all."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest

ORACLES = {
    "timm": "timm tf_efficientnet_b0 b0 safetensors",
    "torchvision": "torchvision efficientnet_b0 b0",
    "efficientnet_pytorch": "efficientnet_pytorch efficientnet-b0 b0",
    "transformers": "transformers efficientnet-b0 b0",
    "keras": "Keras EfficientNetB0 b0 .weights.h5",
}


@pytest.mark.slow
@pytest.mark.parametrize("module", ORACLES)
def test_oracle(module, request):
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed: pip install '.[oracles]'")
    # A process of its own: torch must come before TensorFlow, which other tests may have imported.
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.parity", f"--only={ORACLES[module]}", "--json"],
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        cwd=request.config.rootpath,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1])["worst"] < 1e-4

"""Exporting a network to a folder that can be used without this project."""

import dataclasses
import json
import logging
import os
import pathlib
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import jinja2
import numpy as np

import input_pipeline
from efficientnet.errors import UserError
from efficientnet.inference.export.formats import FORMATS, check_formats
from efficientnet.inference.network import Network
from efficientnet.paths import printable
from input_pipeline.augment.geometry import Resize

log = logging.getLogger(__name__)

TOLERANCE = 1e-4  # largest absolute difference of a logit or probability
BATCH_SIZES = (3, 1)  # that each format is tried with

# Runs the lines of Python that read a format on every batch, without this project's code.
CHECK = """\
import sys
import numpy as np

answers = {{}}
for name, images in np.load(sys.argv[1]).items():
{loading}
    for output in ("logits", "probabilities"):
        answers[name + "/" + output] = np.asarray(answer[output])
known = {{module.split(".")[0] for module in sys.modules}}
assert not known & {{"efficientnet", "input_pipeline", "configs", "scripts"}}, known
np.savez(sys.argv[2], **answers)
"""


def export(
    network: Network, output: pathlib.Path, formats: Sequence[str], source: str
) -> dict[str, Any]:
    """Writes a network to a new folder in each format, and checks each in a fresh process.

    The exported network computes in float32, whatever it was trained in. The folder appears only if
    all formats agree with the Flax network on the CPU to 1e-4.

    Args:
      network: what to export.
      output: the folder; must not exist.
      formats: keys of `FORMATS`.
      source: where the network is from, for the README.

    Returns:
      What `metadata.json` holds.

    Raises:
      UserError: the folder already exists, a format is unknown or its package missing, or the
        output of a format differs from the network's.
      OSError: the folder can't be written.
    """
    check_formats(formats)
    if output.exists():
        raise UserError(f"{output} already exists: choose another --output, or remove it")
    network = dataclasses.replace(network, module=network.module.clone(dtype=jnp.float32))
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as scratch:
        part = pathlib.Path(scratch) / output.name  # `scratch` itself is closed to other users
        part.mkdir()
        differences = {}
        examples = _examples(network)
        for name in formats:
            form = FORMATS[name]
            form.write(network, part / form.name)
            differences[name] = _difference(name, part, examples)
            log.info("%s: %s agrees to %.1e", name, form.name, differences[name])
        metadata = {
            "source": source,
            "classes": len(network.class_names),
            "inputs": {
                "images": ["batch", network.resolution, network.resolution, network.channels],
                "type": "uint8",
                "preparation": network.preparation,
            },
            "outputs": ["logits", "probabilities"],
            "largest_difference": differences,
        }
        (part / "labels.txt").write_text(labels(network.class_names), encoding="utf-8")
        (part / "metadata.json").write_text(json.dumps(metadata, indent=2) + "\n")
        (part / "README.md").write_text(readme(network, formats, source))
        part.rename(output)
    return metadata


def readme(network: Network, formats: Sequence[str], source: str) -> str:
    """Returns the README; its lines of Python can be run in the exported folder."""
    operation, *more = input_pipeline.parse(network.preparation) or (Resize(),)
    template = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    ).get_template("README.md")
    return template.render(
        classes=len(network.class_names),
        side=network.resolution,
        channels=network.channels,
        preparation=network.preparation or "resize",
        # Pillow does what is antialiased in the same way.
        operation=None if more or not getattr(operation, "antialias", False) else operation,
        kind=type(operation).__name__,
        method=getattr(operation, "method", "").upper(),
        formats=[FORMATS[name] for name in formats],
        source=source,
    )


def labels(class_names: Sequence[str]) -> str:
    """Returns the content of `labels.txt`: one line for each class, in order."""
    return "".join(f"{printable(name)}\n" for name in class_names)


def _examples(network: Network) -> dict[str, tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Noise and color gradients in batches of several sizes, with the network's outputs."""
    rng = np.random.default_rng(0)
    side, channels = network.resolution, network.channels
    examples = {}
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        network = dataclasses.replace(
            network, variables=jax.tree.map(np.asarray, network.variables)
        )
        for size in BATCH_SIZES:
            images = rng.integers(0, 256, (size, side, side, channels), np.uint8)
            images[0] = np.linspace(0, 255, side)[:, None, None]
            logits = network(images)
            outputs = {"logits": logits, "probabilities": jax.nn.softmax(logits)}
            examples[f"batch{size}"] = (images, jax.tree.map(np.asarray, outputs))
    return examples


def _difference(
    name: str,
    folder: pathlib.Path,
    examples: dict[str, tuple[np.ndarray, dict[str, np.ndarray]]],
) -> float:
    """Runs an exported network in a separate process; returns the largest difference."""
    program = CHECK.format(loading=textwrap.indent(FORMATS[name].loading, "    "))
    with tempfile.TemporaryDirectory() as scratch:
        inputs, outputs = (pathlib.Path(scratch) / file for file in ("in.npz", "out.npz"))
        arrays: dict[str, Any] = {key: x for key, (x, _) in examples.items()}
        np.savez(inputs, **arrays)
        # -I: neither PYTHONPATH nor the current folder lead to this project's code.
        command = [sys.executable, "-I", "-W", "ignore", "-c", program]
        environment = {
            **os.environ,
            "CUDA_VISIBLE_DEVICES": "-1",
            "JAX_PLATFORMS": "cpu",
            "JAX_TRACEBACK_FILTERING": "off",  # the last line is then what is wrong
        }
        done = subprocess.run(
            [*command, str(inputs), str(outputs)],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
            raise UserError(f"the exported {name} can't be run ({last}): nothing was written")
        with np.load(outputs) as found:
            difference = max(
                float(np.max(np.abs(found[f"{key}/{output}"] - value)))
                for key, (_, expected) in examples.items()
                for output, value in expected.items()
            )
    # NaN fails this comparison too.
    if not difference <= TOLERANCE:
        raise UserError(
            f"the exported {name} differs from the network by {difference:.1e}, more than "
            f"{TOLERANCE:.0e}: nothing was written"
        )
    return difference

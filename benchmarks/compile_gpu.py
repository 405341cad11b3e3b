r"""Compiles the training steps of a recipe for an NVIDIA H100, which need not be there.

    pip install --no-deps jax-cuda12-plugin==0.10.2 jax-cuda12-pjrt==0.10.2 nvidia-cuda-nvcc-cu12
    python benchmarks/compile_gpu.py --config=configs/cars_b0.py:thesis --classes=196 \
        --config.dtype=bfloat16

The version is that of the installed JAX. Printed are the kernels of each stage's step, the bytes
that they read and write, and which move the most. Nothing is timed, and cuDNN and cuBLAS choose
their algorithms only on a GPU.
"""

import os

os.environ["JAX_PLATFORMS"] = "cpu"  # before JAX is imported: the GPU's compiler only compiles
os.environ["JAX_SKIP_CUDA_CONSTRAINTS_CHECK"] = "1"  # that CUDA's libraries are installed

import collections
import dataclasses
import importlib.metadata
import importlib.util
import sys
import time
from collections.abc import Sequence

from efficientnet.commands import command_line, recipes
from efficientnet.errors import UserError
from efficientnet.reporting import tables

# What XLA knows of the card, in the form of its GpuTargetConfigProto.
H100 = """
gpu_device_info {
  cuda_compute_capability { major: 9 }
  core_count: 132
  fpus_per_core: 128
  clock_rate_ghz: 1.98
  device_memory_size: 84978434048
  memory_bandwidth: 3352320000000
  l2_cache_size: 52428800
  threads_per_warp: 32
  threads_per_block_limit: 1024
  threads_per_core_limit: 2048
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472
  registers_per_block_limit: 65536
  registers_per_core_limit: 65536
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 10 }
runtime_version { major: 12 minor: 9 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""
SHOWN = 10
PACKAGES = ("jax_plugins.xla_cuda12", "nvidia.cuda_nvcc")


def main(arguments: Sequence[str]) -> None:
    """Parses the arguments, compiles each stage, prints what its step moves."""
    parser = command_line.parser(
        "Compiles a recipe for an NVIDIA H100, which need not exist.", allow_abbrev=False
    )
    parser.add_argument("--config", required=True, help="the recipe, as for train.py")
    parser.add_argument("--batch", type=int, default=256, help="images, default 256")
    parser.add_argument("--classes", type=int, help="number of classes, instead of the data's")
    args, overrides = parser.parse_known_args(arguments)
    command_line.check_positive(args, "batch", "classes")
    config = dataclasses.replace(recipes.read(args.config, overrides), batch_size=args.batch)
    version = importlib.metadata.version("jax")
    for package in PACKAGES:
        if not _installed(package):
            raise UserError(
                f"{package} is not installed: pip install --no-deps jax-cuda12-plugin=={version} "
                f"jax-cuda12-pjrt=={version} nvidia-cuda-nvcc-cu12"
            )

    # JAX takes seconds to import; a wrong flag is reported before.
    import jax
    import numpy as np
    from jax.experimental import topologies

    from benchmarks.estimates import hlo, outline

    card = topologies.get_topology_desc(
        "h100", platform="cuda", target_config=H100, topology="1x1x1"
    )
    mesh = jax.sharding.Mesh(np.asarray(card.devices), ("data",))
    experiment = outline.outline(config, mesh, outline.data_of(config, args.classes, None))
    for number, stage in enumerate(config.stages):
        program, shapes = outline.train_step(experiment, number)
        lowered = program.lower(*shapes)
        begin = time.perf_counter()
        compiled = lowered.compile()
        seconds = time.perf_counter() - begin
        kernels = hlo.kernels(compiled.as_text())
        result = {
            "stage": stage.name,
            "mb_per_image": round(sum(kernel.bytes for kernel in kernels) / args.batch / 1e6, 1),
            "kernels": len(kernels),
            "temporary_gb": round(compiled.memory_analysis().temp_size_in_bytes / 1e9, 2),
            "compiled_in_seconds": round(seconds, 1),
        }
        print(", ".join(f"{name} {value}" for name, value in result.items()), flush=True)
        sums: collections.Counter[tuple[str, str, str]] = collections.Counter()
        for kernel in kernels:
            operation = kernel.path.split("/")[-1] or kernel.name
            sums[(*hlo.layer_and_pass(kernel.path), operation)] += kernel.bytes
        rows = [
            (f"{count / args.batch / 1e6:.2f}", *where) for where, count in sums.most_common(SHOWN)
        ]
        print(tables.aligned(("MB/image", "layer", "pass", "operation"), rows), flush=True)
        if args.json:
            command_line.print_json(result)


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


if __name__ == "__main__":
    sys.exit(command_line.run(main))
